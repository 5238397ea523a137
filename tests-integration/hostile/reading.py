"""Publishes bad records on a network of its own, loads them while it is watched, and tells what happened as JSON.

``python -m hostile.reading FOLDER [capture]``
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import os
import resource
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testnet.capture import Capture
from testnet.front import Front, Handler
from testnet.network import Network
from testnet.tls import certificate

import atdata
import atdata_atmosphere
import atdata_local
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex
from atdata_atmosphere.records import DATASET, SCHEMA

from .records import (
    LIE,
    NAMES,
    Case,
    Places,
    body_cases,
    dataset,
    external,
    forged_cases,
    identities,
    pattern_cases,
    schema_cases,
    schema_records,
    url_cases,
)
from .servers import PUBLIC, Canary, Evil

# Longer than any of them needs; the program ends then, and says where
_PATIENCE = 600


@atdata.packable
class Sample:
    """What the good shard holds."""

    text: str


class Watch:
    """What this program does, by its own account.

    Attributes:
        events: connections, programs, and files, but for those of Python and of what is installed.
    """

    def __init__(self, *own: Path) -> None:
        self.events: set[tuple[str, str]] = set()
        self._own = tuple(map(str, (*sysconfig.get_paths().values(), sys.base_prefix, sys.prefix, *own)))
        self._armed = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed:
            return
        if event == "open" and not isinstance(arguments[0], int):
            path = os.fsdecode(arguments[0])
            if not path.startswith(self._own):
                self.events.add((event, path))
        elif event == "socket.connect":
            self.events.add((event, json.dumps(arguments[1])))
        elif event.startswith(("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.")):
            self.events.add((event, repr(arguments)[:200]))

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Watch what happens in this block."""
        self._armed = True
        try:
            yield
        finally:
            self._armed = False


def strict_but_for(address: str) -> None:
    """Let one address of this machine pass for one of the public internet."""
    import atdata_atmosphere.policy
    import atdata_atmosphere.storage
    from atdata.sources import http, trust

    known = trust.is_public
    modules: list[Any] = [http, trust, atdata_atmosphere.policy, atdata_atmosphere.storage]
    for module in modules:
        module.is_public = lambda given: given == address or known(given)


def outcome(uri: str, index: AtmosphereIndex) -> dict[str, Any]:
    """What becomes of somebody who loads a dataset and looks at its first samples."""
    try:
        loaded = atdata.load_dataset(uri, split="train", index=index)
        seen = [sample.text for sample in itertools.islice(loaded.ordered(), 3)]
    except Exception as error:
        return {
            "error": type(error).__name__,
            "ours": isinstance(error, atdata.errors.AtdataError),
            "message": str(error)[:2000],
        }
    return {"error": "", "ours": True, "message": repr(seen)}


def main(folder: Path, capture: Capture | None) -> dict[str, Any]:
    """Everything."""
    canary, trap, secret = Canary(), folder / "trap", folder / "secret.tar"
    atdata.write_samples([Sample(text=f"good {n}") for n in range(5)], folder / "good.tar")
    secret.write_bytes((folder / "good.tar").read_bytes())
    pem = certificate(folder / "server.pem", "localhost", "127.0.0.1", PUBLIC)
    os.environ |= {"SSL_CERT_FILE": str(pem), "ATDATA_CACHE_DIR": str(folder / "cache")}
    forged: dict[str, Any] = {}

    documents: dict[str, Any] = {}

    def forge(handler: Handler) -> bool:
        if handler.path[1:] in documents:
            return handler.answer(200, documents[handler.path[1:]])
        if "getBlob" in handler.path and LIE in handler.path:
            return handler.answer(200, b"something else", "application/x-tar")
        for key, record in forged.items():
            if "getRecord" in handler.path and handler.path.endswith(f"rkey={key}"):
                uri = f"at://{alice.did}/{DATASET}/{key}"
                return handler.answer(200, {"uri": uri, "cid": "bafyreia", "value": record})
        return False

    with Network("--handles", "alice.test") as network, Front(network, pem) as front:
        front.rule = forge
        evil = Evil(pem, f"127.0.0.1:{canary.port}", trap, secret.read_bytes())
        alice = network.client("alice")
        good = str(alice.publish_schema(Sample))
        at = Places(evil.url, canary.port, str(trap), str(secret), alice.did, good)
        refs = {}
        for name, record in schema_records(at).items():
            refs[name] = f"at://{alice.did}/{SCHEMA}/{name}"
            write(alice, SCHEMA, name, record)
        cases: dict[str, Case] = {
            "good": Case(dataset(external(f"{at.evil}/good.tar"), good), ("",)),
            **url_cases(at),
            **pattern_cases(at),
            **body_cases(at),
            **schema_cases(at, refs),
            **forged_cases(at),
        }
        documents |= identities(at)
        for name, case in cases.items():
            if case.forged:
                forged[name] = case.record
            else:
                write(alice, DATASET, name, case.record)

        client = AtmosphereClient(front.url, plc_url=front.url)
        index = AtmosphereIndex(client)
        strict_but_for(PUBLIC)
        outcome(f"at://{alice.did}/{DATASET}/good", index)  # so that all that is needed is imported
        packages = [Path(str(module.__file__)).parent for module in (atdata, atdata_atmosphere, atdata_local)]
        watch = Watch(pem, folder / "cache", *packages)
        if capture is not None:
            capture.seen.clear()
        loads = {name: f"at://{alice.did}/{DATASET}/{name}" for name in cases}
        loads |= {did: f"at://{did}/{DATASET}/a" for did in documents}
        found = {}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, uri in loads.items():
            faulthandler.dump_traceback_later(_PATIENCE, exit=True)
            with watch.armed():
                found[name] = outcome(uri, index)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        faulthandler.cancel_dump_traceback_later()
        urls = (front.url, evil.url, network.pds, network.plc)
        packets = None if capture is None else sorted(capture.seen)
        for number, name in enumerate(NAMES):
            write(alice, DATASET, f"name-{number}", dataset(external(f"{at.evil}/good.tar"), good, name=name))
        with warnings.catch_warnings(record=True) as told, watch.armed():
            warnings.simplefilter("always")
            listed = index.list_datasets(repo=alice.did)
        return {
            "outcomes": found,
            "expected": {name: [case.errors, case.says] for name, case in cases.items()}
            | {did: [["UnsafeURL", "IdentityError"], ""] for did in documents},
            "events": sorted(watch.events),
            "servers": sorted(int(url.rpartition(":")[2]) for url in urls),
            "packets": packets,
            "missed": None if capture is None else capture.missed(),
            "knocks": canary.knocks,
            "trapped": trap.exists(),
            "grown": grown,
            "names": [entry.name for entry in listed],
            "shown": [repr(entry) for entry in listed],
            "warnings": [str(warning.message) for warning in told],
        }


def write(client: AtmosphereClient, collection: str, key: str, record: dict[str, Any]) -> None:
    """Put a record into a repository as it is."""
    body = {"repo": client.did, "collection": collection, "rkey": key, "record": record, "validate": False}
    client._session.procedure("com.atproto.repo.putRecord", body)


if __name__ == "__main__":
    capturing = Capture() if "capture" in sys.argv[2:] else None
    result = main(Path(sys.argv[1]), capturing)
    print(json.dumps(result))
