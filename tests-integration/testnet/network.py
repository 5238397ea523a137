"""A network in a process of its own, ended with the tests however they end."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from atdata.atmosphere import AtmosphereClient

from .install import installed, node


@dataclass(frozen=True)
class Account:
    """An account on a network."""

    handle: str
    did: str
    password: str
    appPassword: str


class Network:
    """A PLC directory and a PDS.

    Args:
        options: those of ``testnet.mjs``.

    Attributes:
        plc: URL of the directory.
        pds: URL of the PDS.
        accounts: by the first part of their handles.
    """

    def __init__(self, *options: str) -> None:
        folder = installed()
        self.process = subprocess.Popen(
            [node(), "testnet.mjs", *options],
            cwd=folder,
            env={**os.environ, "NODE_COMPILE_CACHE": str(folder / "compiled")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the test network ended with {self.process.wait()} before it was ready")
        ready: dict[str, Any] = json.loads(line)
        self.plc: str = ready["plc"]
        self.pds: str = ready.get("pds", "")
        self.dir = Path(ready.get("dir", ""))
        self.secret: str = ready.get("jwtSecret", "")
        self.accounts = {given["handle"].partition(".")[0]: Account(**given) for given in ready["accounts"]}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that name it."""
        return {"ATDATA_PDS": self.pds, "ATDATA_PLC": self.plc, "ATDATA_ALLOW_INSECURE": "1"}

    def client(self, name: str | None = None, **options: Any) -> AtmosphereClient:
        """A client on this network; of an account, if one is named."""
        options = {"plc_url": self.plc, "allow_insecure": True, **options}
        client = AtmosphereClient(self.pds, **options)
        if name is not None:
            client.login(self.accounts[name].handle, self.accounts[name].appPassword)
        return client

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self._ended()

    def close(self) -> None:
        """End it in order."""
        self._ended()

    def _ended(self) -> None:
        with self.process as process:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
