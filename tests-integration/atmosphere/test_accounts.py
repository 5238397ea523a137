"""Logins, sessions, identities, and what must stay secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import pickle
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from atproto.exceptions import AtProtocolError, UnauthorizedError
from testnet.front import Front, Handler
from testnet.network import Network

from atdata.atmosphere import AtmosphereClient
from atdata.errors import AtdataError, UnsafeURL
from atdata_atmosphere.errors import AtmosphereWarning, IdentityError, LoginFailed, NotLoggedIn, SessionExpired

KIND = "ac.foundation.dataset.lens"
RECORD = {"$type": KIND, "name": "n"}


def changed(network: Network, session: str, *, access: dict[str, Any], refresh: dict[str, Any]) -> str:
    """A session with other claims in its tokens, signed by the server's own key."""
    handle, did, *tokens, pds = session.split(":::")

    def sign(token: str, claims: dict[str, Any]) -> str:
        header, payload, _ = token.split(".")
        known = json.loads(base64.urlsafe_b64decode(payload + "=="))
        payload = base64.urlsafe_b64encode(json.dumps(known | claims).encode()).decode().rstrip("=")
        key = bytes(network.secret, "ascii")
        digest = hmac.new(key, f"{header}.{payload}".encode(), hashlib.sha256).digest()
        return f"{header}.{payload}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"

    return ":::".join([handle, did, sign(tokens[0], access), sign(tokens[1], refresh), pds])


PAST = {"iat": int(time.time()) - 9000, "exp": int(time.time()) - 3600}


def test_login(network: Network) -> None:
    account = network.accounts["alice"]
    client = network.client()
    assert not client.is_authenticated
    with pytest.raises(ValueError, match=r"client\.login"):
        _ = client.did
    with pytest.raises(NotLoggedIn):
        client.export_session()
    with pytest.raises(LoginFailed, match="app password") as caught:
        client.login(account.handle, "aaaa-bbbb-cccc-dddd")
    for error in (AtProtocolError, UnauthorizedError, AtdataError, PermissionError):
        assert isinstance(caught.value, error)
    with pytest.raises(LoginFailed, match="empty"):
        client.login(account.handle, "")
    client.login("@" + account.handle, account.appPassword)
    assert (client.did, client.handle) == (account.did, account.handle)
    again = network.client()
    again.login_with_session(client.export_session())
    assert again.did == account.did
    again.delete_record(again.create_record(KIND, RECORD))
    for text in ("", "a", ":::".join("abcde"), ":::".join(["h", "did:plc:x", "t", "t", "http://a"])):
        with pytest.raises(SessionExpired, match="log in again"):
            again.login_with_session(text)


def test_session_file(network: Network, alice: AtmosphereClient, tmp_path: Path) -> None:
    path = tmp_path / "session"
    alice.save_session(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    client = network.client()
    client.load_session(path)
    assert client.did == alice.did
    # refreshed sessions go into the file
    stale = changed(network, alice.export_session(), access=PAST, refresh={})
    path.write_text(stale)
    client.load_session(path)
    client.delete_record(client.create_record(KIND, RECORD))
    assert path.read_text() != stale
    assert path.read_text() == client.export_session()
    assert os.listdir(tmp_path) == ["session"]
    client.load_session(path)
    kept = path.read_text()
    client.login_with_session(stale)
    client.delete_record(client.create_record(KIND, RECORD))
    assert path.read_text() == kept  # of another login
    client.login_with_session(stale)
    client._session._file = tmp_path / "gone" / "session"
    with pytest.warns(AtmosphereWarning, match="is not in"):  # and is written nevertheless
        client.delete_record(client.create_record(KIND, RECORD))
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        client.load_session(path)


def test_from_env(network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    account, path = network.accounts["bob"], tmp_path / "session"
    for name, value in network.environment.items():
        monkeypatch.setenv(name, value)
    assert not AtmosphereClient.from_env().is_authenticated
    monkeypatch.setenv("ATDATA_HANDLE", account.handle)
    with pytest.raises(LoginFailed):
        AtmosphereClient.from_env()
    monkeypatch.setenv("ATDATA_APP_PASSWORD", account.appPassword)
    monkeypatch.setenv("ATDATA_SESSION_FILE", str(path))
    assert AtmosphereClient.from_env().did == account.did
    monkeypatch.delenv("ATDATA_APP_PASSWORD")
    assert AtmosphereClient.from_env(timeout=5).did == account.did  # from the file


def test_expired_access_token(network: Network, alice: AtmosphereClient) -> None:
    client = network.client()
    client.login_with_session(changed(network, alice.export_session(), access=PAST, refresh={}))
    client.delete_record(client.create_record(KIND, RECORD))


def test_access_token_that_the_server_does_not_take(network: Network, alice: AtmosphereClient) -> None:
    handle, did, access, refresh, pds = alice.export_session().split(":::")
    client = network.client()
    client.login_with_session(":::".join([handle, did, access[:-8] + "AAAAAAAA", refresh, pds]))
    client.delete_record(client.create_record(KIND, RECORD))


def test_one_refresh_for_all_threads(network: Network, alice: AtmosphereClient) -> None:
    handle, did, access, refresh, _ = alice.export_session().split(":::")
    with Front(network) as front, ThreadPoolExecutor(8) as pool:
        client = network.client()
        client.login_with_session(":::".join([handle, did, access[:-8] + "AAAAAAAA", refresh, front.url]))
        uris = list(pool.map(lambda n: client.create_record(KIND, {**RECORD, "n": n}), range(16)))
        assert len({str(uri) for uri in uris}) == 16
        assert sum("refreshSession" in request for request in front.requests) == 1


def test_both_tokens_expired(network: Network, alice: AtmosphereClient) -> None:
    client = network.client()
    client.login_with_session(changed(network, alice.export_session(), access=PAST, refresh=PAST))
    with pytest.raises(SessionExpired, match="log in again") as caught:
        client.create_record(KIND, RECORD)
    assert isinstance(caught.value, AtProtocolError)
    assert client.list_lenses() == []  # reading goes on


def test_revoked_app_password(network: Network) -> None:
    account = network.accounts["bob"]
    url = f"{network.pds}/xrpc/com.atproto.server"
    login = httpx.post(f"{url}.createSession", json={"identifier": account.handle, "password": account.password}).json()
    headers = {"Authorization": f"Bearer {login['accessJwt']}"}
    made = httpx.post(f"{url}.createAppPassword", json={"name": "gone"}, headers=headers).json()
    client = network.client()
    client.login(account.handle, made["password"])
    assert httpx.post(f"{url}.revokeAppPassword", json={"name": "gone"}, headers=headers).is_success
    again = network.client()
    again.login_with_session(changed(network, client.export_session(), access=PAST, refresh={}))
    with pytest.raises(SessionExpired, match="log in again"):
        again.create_record(KIND, RECORD)
    with pytest.raises(LoginFailed):
        again.login(account.handle, made["password"])


def test_secrets_are_nowhere(network: Network, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    account = network.accounts["alice"]
    shown: list[str] = []

    def echo(handler: Handler) -> bool:
        message = handler.body.decode() + str(handler.headers)
        return handler.command == "POST" and handler.answer(400, {"error": "Echo", "message": message})

    with caplog.at_level(logging.DEBUG), Front(network) as front:
        client = network.client("alice")
        session = client.export_session()
        shown += [repr(client), str(client), repr(vars(client)), repr(client._session), repr(vars(client._session))]
        front.rule = echo
        mirrored = AtmosphereClient(front.url, plc_url=front.url, allow_insecure=True)
        for password in (account.appPassword, "a password of another kind"):
            with pytest.raises(AtProtocolError) as caught:
                mirrored.login(account.handle, password)
            shown += [str(caught.value), repr(caught.value), str(caught.value.__cause__)]
        mirrored.login_with_session(session.replace(network.pds, front.url))
        with pytest.raises(AtProtocolError) as caught:
            mirrored.create_record(KIND, RECORD)
        shown += [str(caught.value), repr(caught.value), *front.requests]
    _, _, access, refresh, _ = session.split(":::")
    text = "\n".join([*shown, caplog.text])
    for secret in (account.appPassword, account.password, access, refresh, "a password of another kind"):
        assert secret not in text
    with pytest.raises(TypeError):  # nor does a client travel into other processes by accident
        pickle.dumps(client)


# ------------------------------------------------------------------------------------------------ identities


def test_identities(network: Network, anyone: AtmosphereClient) -> None:
    account = network.accounts["alice"]
    for name in (account.did, "alice.test", "Alice.TEST", "@alice.test"):
        found = anyone.resolve(name)
        assert (found.did, found.handle, found.pds) == (account.did, "alice.test", network.pds)
    for name, says in {
        "nobody.test": "leads to no DID",
        f"did:plc:{'a' * 24}": "there is no did:plc",
        "did:example:abc": "did:plc and did:web only",
        "did:web:example.org:path": "path",
        "not a handle": "neither a handle nor a DID",
        "": "neither a handle nor a DID",
    }.items():
        with pytest.raises(IdentityError, match=says) as caught:
            anyone.resolve(name)
        assert isinstance(caught.value, ValueError)


def test_did_web(network: Network) -> None:
    documents: dict[str, Any] = {}

    def web(handler: Handler) -> bool:
        return handler.path == "/.well-known/did.json" and handler.answer(200, documents, documents["kind"])

    with Front(network) as front:
        front.rule = web
        did = f"did:web:localhost%3A{front.server_address[1]}"
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": network.pds + "/"}
        for documents["kind"] in ("application/json", "text/plain"):
            documents |= {"id": did, "alsoKnownAs": ["at://web.test"], "service": [service]}
            assert network.client().resolve(did).pds == network.pds
        for change, says in (
            ({"id": "did:web:example.org"}, "that of 'did:web:example.org'"),
            ({"service": []}, "no personal data server"),
            ({"service": 5}, "not a DID document"),
            ({"service": [{**service, "serviceEndpoint": "http://user:pw@example.org"}]}, "without user"),
            ({"service": [{**service, "serviceEndpoint": "file:///etc/passwd"}]}, "no personal data server"),
        ):
            kept = dict(documents)
            documents |= change
            with pytest.raises(ValueError, match=says):
                network.client().resolve(did)
            documents.clear()
            documents |= kept


def test_handle_that_its_did_does_not_claim(network: Network) -> None:
    bob = network.accounts["bob"].did

    def lie(handler: Handler) -> bool:
        return "resolveHandle" in handler.path and handler.answer(200, {"did": bob})

    with Front(network) as front:
        front.rule = lie
        client = AtmosphereClient(front.url, plc_url=front.url, allow_insecure=True)
        with pytest.raises(IdentityError, match="does not claim it"):
            client.resolve("alice.test")
        assert client.resolve("bob.test").did == bob


def test_account_that_moved(network: Network, alice: AtmosphereClient) -> None:
    uri = alice.create_record(KIND, RECORD)
    with Front(network) as front:
        client = AtmosphereClient(front.url, plc_url=network.plc, allow_insecure=True)
        kept = client.resolve(alice.did)
        client._directory._kept[alice.did] = (
            time.monotonic() + 60,
            type(kept)(kept.did, kept.handle, "http://localhost:9"),
        )
        assert client.get_record(uri)["name"] == "n"


@pytest.mark.parametrize(
    "make",
    [
        lambda: AtmosphereClient("http://localhost:2583"),
        lambda: AtmosphereClient("http://pds.example.org"),
        lambda: AtmosphereClient(plc_url="http://plc.example.org"),
        lambda: AtmosphereClient("https://user:password@pds.example.org"),
        lambda: AtmosphereClient("ftp://pds.example.org", allow_insecure=True),
        lambda: AtmosphereClient("pds.example.org"),
    ],
)
def test_servers_that_may_not_be_asked(make: Callable[[], AtmosphereClient]) -> None:
    with pytest.raises(UnsafeURL):
        make()
