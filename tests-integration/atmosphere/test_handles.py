"""Handles outside of ``.test``: looked up by DNS and, where that says nothing, from the host of that name.

Only where to is changed: questions of DNS go to a server of this test instead of the system's, and connections to
port 443 of the handle's host to another one.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.resolver
import httpcore
import pytest
from testnet.front import Front, Handler
from testnet.names import Dns, WellKnown
from testnet.network import Network
from testnet.tls import certificate

import atdata
from atdata.atmosphere import AtmosphereClient, AtmosphereIndex
from atdata_atmosphere.errors import IdentityError

HANDLE = "birds.example.org"


@atdata.packable
class Bird:
    label: str


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dns]:
    """The server of DNS that everybody asks."""
    with Dns() as server:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        yield server
        server.shutdown()


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WellKnown]:
    """The server of every host in ``example.org``."""
    pem = certificate(tmp_path / "server.pem", HANDLE, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    find, connect = socket.getaddrinfo, httpcore.SyncBackend.connect_tcp
    with WellKnown(pem) as server:

        def find_here(host: str, *more: Any, **named: Any) -> Any:
            return find("127.0.0.1" if host.endswith(".example.org") else host, *more, **named)

        def connect_here(backend: Any, host: str, port: int, *more: Any) -> Any:
            return connect(backend, host, server.server_address[1] if port == 443 else port, *more)

        monkeypatch.setattr(socket, "getaddrinfo", find_here)
        monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_here)
        yield server


@pytest.fixture
def front(network: Network) -> Iterator[Front]:
    """The network, in whose directory alice has the handle of these tests."""
    did = network.accounts["alice"].did

    def rename(handler: Handler) -> bool:
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": network.pds}
        document = {"id": did, "alsoKnownAs": [f"at://{HANDLE}"], "service": [service]}
        return handler.path == f"/{did}" and handler.answer(200, document)

    with Front(network) as front:
        front.rule = rename
        yield front


def client(front: Front) -> AtmosphereClient:
    return AtmosphereClient(front.url, plc_url=front.url, allow_insecure=True)


def test_by_dns(names: Dns, hosts: WellKnown, front: Front, alice: AtmosphereClient) -> None:
    names.texts[f"_atproto.{HANDLE}"] = ['"v=something else"', f'"did={alice.did}"']
    found = client(front).resolve(HANDLE)
    assert (found.did, found.handle) == (alice.did, HANDLE)
    assert set(names.asked) == {f"_atproto.{HANDLE}"}
    assert hosts.asked == []


def test_from_the_host(names: Dns, hosts: WellKnown, front: Front, alice: AtmosphereClient) -> None:
    hosts.dids[HANDLE] = f"{alice.did}\n".encode()
    assert client(front).resolve("Birds.Example.ORG").did == alice.did
    assert set(names.asked) == {f"_atproto.{HANDLE}"}
    assert hosts.asked == [f"{HANDLE}/.well-known/atproto-did"]


@pytest.mark.parametrize("how", ["dns", "host"])
def test_datasets_by_such_handles(
    how: str, names: Dns, hosts: WellKnown, front: Front, alice: AtmosphereClient
) -> None:
    dataset = atdata.Dataset[Bird]("https://data.example.org/birds-{000..002}.tar")
    published = AtmosphereIndex(alice).insert_dataset(dataset, name="birds")
    if how == "dns":
        names.texts[f"_atproto.{HANDLE}"] = [f'"did={alice.did}"']
    else:
        hosts.dids[HANDLE] = alice.did.encode()
    index = AtmosphereIndex(client(front))
    assert index.get_dataset(f"@{HANDLE}/birds") == published
    loaded = atdata.load_dataset(f"@{HANDLE}/birds", split="train", index=index)
    assert loaded.sample_type.__name__ == "Bird"
    assert len(loaded.list_shards()) == 3


@pytest.mark.parametrize(
    ("texts", "content", "says"),
    [
        (None, None, "is neither in DNS nor at https://birds"),
        (['"did=nonsense"'], None, "is neither a handle nor a DID"),
        (['"did=bird.example.org"'], None, "which is not a DID"),
        ([r'"did=\255\254"'], None, "is neither in DNS nor at"),
        (None, b"\xff\xfe", "is neither a handle nor a DID"),
        (None, b"<html>", "is neither a handle nor a DID"),
        (None, b"did:plc:a\ndid:plc:b", "is neither a handle nor a DID"),
        (None, b"a" * 20_000, "answers with more than"),
        ([f'"did=did:plc:{"a" * 24}"'], None, "there is no did:plc:a"),
    ],
)
def test_answers_that_are_none(
    texts: list[str] | None, content: bytes | None, says: str, names: Dns, hosts: WellKnown, front: Front
) -> None:
    if texts is not None:
        names.texts[f"_atproto.{HANDLE}"] = texts
    if content is not None:
        hosts.dids[HANDLE] = content
    with pytest.raises(IdentityError, match=says):
        client(front).resolve(HANDLE)


def test_a_handle_that_its_did_does_not_claim(names: Dns, front: Front, alice: AtmosphereClient) -> None:
    names.texts["_atproto.cats.example.org"] = [f'"did={alice.did}"']
    with pytest.raises(IdentityError, match=f"does not claim it.*{HANDLE}"):
        client(front).resolve("cats.example.org")


def test_a_host_that_cannot_prove_who_it_is(
    names: Dns, hosts: WellKnown, front: Front, alice: AtmosphereClient
) -> None:
    hosts.dids["cats.example.org"] = alice.did.encode()  # the certificate is another host's
    with pytest.raises(IdentityError, match="certificate"):
        client(front).resolve("cats.example.org")
