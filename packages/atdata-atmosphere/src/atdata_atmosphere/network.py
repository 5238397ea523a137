"""Which network is read: where identities are looked up, and which servers may be asked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from atdata import config

from .policy import Policy, origin

if TYPE_CHECKING:
    from .client import AtmosphereClient

HOME, PLC = "https://bsky.social", "https://plc.directory"


@dataclass(frozen=True)
class Network:
    """What a client was told of the network. Unlike a client it can be compared, and sent to other processes.

    Attributes:
        home: URL of the server to log in at, which also knows handles in ``.test``.
        plc: URL of the directory of DIDs.
        allow_insecure: whether any server may be asked, also over plain http and on this machine.
        timeout: seconds that a call may take.
    """

    home: str = HOME
    plc: str = PLC
    allow_insecure: bool = False
    timeout: float = 30.0

    @classmethod
    def from_env(cls) -> Self:
        """The network that the environment names; see ``AtmosphereClient.from_env``."""
        given = env_options()
        return cls(given["base_url"] or HOME, given["plc_url"] or PLC, given["allow_insecure"])

    @property
    def policy(self) -> Policy:
        """Which servers may be asked.

        Raises:
            UnsafeURL: what is named is no URL of a server.
        """
        return Policy(self.allow_insecure, frozenset({origin(self.home), origin(self.plc)}))

    def client(self) -> AtmosphereClient:
        """What reads this network in this process, without a login.

        Raises:
            UnsafeURL: one of the URLs is not https.
        """
        return _client(self, os.getpid())


# Connections and locks of before a fork are the parent's
@lru_cache(maxsize=16)
def _client(network: Network, _process: int) -> AtmosphereClient:
    from .client import AtmosphereClient

    return AtmosphereClient(
        network.home, plc_url=network.plc, allow_insecure=network.allow_insecure, timeout=network.timeout
    )


def env_options() -> dict[str, Any]:
    """What the environment or a profile says, as ``AtmosphereClient`` takes it; see ``atdata.config``."""
    return {
        "base_url": config.get("pds"),
        "plc_url": config.get("plc"),
        "allow_insecure": config.get("allow_insecure") not in (None, "0"),
    }
