"""The index keeps what every index promises, on a real server."""

from __future__ import annotations

import pytest

from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, PDSBlobStore
from atdata.testing import AbstractIndexContract


# the datasets of the contract are files of this machine
@pytest.mark.filterwarnings("ignore:.*nobody else can read it")
class TestIndex(AbstractIndexContract):
    """Without a data store."""

    @pytest.fixture
    def index(self, alice: AtmosphereClient) -> AtmosphereIndex:
        return AtmosphereIndex(alice)


class TestIndexWithBlobs(AbstractIndexContract):
    """With shards in the account's repository."""

    @pytest.fixture
    def index(self, alice: AtmosphereClient) -> AtmosphereIndex:
        return AtmosphereIndex(alice, data_store=PDSBlobStore(alice))
