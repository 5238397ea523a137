"""``URLSource`` on files is a ``DataSource``."""

from collections.abc import Mapping
from pathlib import Path

import pytest

import atdata
from atdata.testing import DataSourceContract


class TestFiles(DataSourceContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "shards"
        self.folder.mkdir()

    def make_source(self, shards: Mapping[str, bytes]) -> atdata.URLSource:
        for name, content in shards.items():
            (self.folder / name).write_bytes(content)
        return atdata.URLSource([self.folder / name for name in shards])
