"""Servers that fail, lie, stall and never end: each ends in recovery or in an error that says what to do."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from atproto.exceptions import AtProtocolError, InvokeTimeoutError, NetworkError, RateLimitExceededError
from testnet.front import Front, Handler, Rule
from testnet.network import Network

from atdata.atmosphere import AtmosphereClient
from atdata.errors import AtdataError
from atdata_atmosphere.errors import (
    AtmosphereError,
    PayloadTooLarge,
    RateLimited,
    RecordExists,
    ServerFault,
    ServerTimeout,
    ServerUnreachable,
)

KIND = "ac.foundation.dataset.lens"
RECORD = {"$type": KIND, "name": "n"}


@pytest.fixture
def front(network: Network) -> Iterator[Front]:
    with Front(network) as front:
        yield front


def through(front: Front, session: str = "", **options: Any) -> AtmosphereClient:
    """A client that knows the network only through the server before it."""
    options = {"plc_url": front.url, "allow_insecure": True, "timeout": 5.0, **options}
    client = AtmosphereClient(front.url, **options)
    if session:
        client.login_with_session(session.replace(front.network.pds, front.url))
    return client


def times(count: int, fault: Rule, method: str = "") -> Rule:
    """A fault that passes."""
    left = itertools.count(count, -1)
    return lambda handler: method in handler.path and next(left) > 0 and fault(handler)


def status(code: int, name: str = "", **headers: str) -> Rule:
    return lambda handler: handler.answer(code, {"error": name, "message": "as told"}, **headers)


def hang_up(handler: Handler) -> bool:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
    return True


def lose_answer(handler: Handler) -> bool:
    """Let the network do it, and hang up before it says so."""
    answered = handler.answer
    handler.answer = lambda *given, **more: hang_up(handler)  # type: ignore[method-assign]
    handler.forward()
    handler.answer = answered  # type: ignore[method-assign]
    return True


def test_faults_that_pass_while_a_session_is_refreshed(front: Front, alice: AtmosphereClient) -> None:
    handle, did, access, refresh, pds = alice.export_session().split(":::")
    client = through(front, ":::".join([handle, did, access[:-8] + "AAAAAAAA", refresh, pds]))
    front.rule = times(2, status(502), "refreshSession")
    assert client.create_record(KIND, RECORD)


@pytest.mark.parametrize("fault", [status(502), status(503), status(500, "InternalServerError"), hang_up])
def test_faults_that_pass(front: Front, alice: AtmosphereClient, fault: Rule) -> None:
    client = through(front, alice.export_session())
    front.rule = times(2, fault, "putRecord")
    uri = client.create_record(KIND, RECORD)
    front.rule = times(2, fault, "getRecord")
    assert client.get_record(uri)["name"] == "n"
    front.rule = times(2, fault, "listRecords")
    assert len(client.list_lenses()) == 1


def test_lost_answers_duplicate_nothing(front: Front, alice: AtmosphereClient) -> None:
    client = through(front, alice.export_session())
    front.rule = times(1, lose_answer, "putRecord")
    uri = client.create_record(KIND, RECORD)
    front.rule = times(1, lose_answer, "putRecord")
    with pytest.raises(RecordExists):
        client.create_record(KIND, {**RECORD, "name": "other"}, rkey=uri.rkey)
    front.rule = times(1, lose_answer, "putRecord")
    client.put_record(KIND, uri.rkey, {**RECORD, "name": "third"})
    front.rule = times(1, lose_answer, "applyWrites")
    uris = client.create_records([(KIND, {**RECORD, "n": n}) for n in range(10)])
    front.rule = times(1, lose_answer, "deleteRecord")
    client.delete_record(uri)
    assert [record.uri for record in alice.iter_records(KIND)] == list(reversed(uris))


@pytest.mark.parametrize(
    ("fault", "errors"),
    [
        (status(502), (ServerFault, OSError)),
        (hang_up, (ServerUnreachable, ConnectionError, NetworkError)),
        (status(413, "PayloadTooLarge"), (PayloadTooLarge, ValueError, NetworkError)),
        (
            status(429, ratelimit_reset=str(2**33), ratelimit_policy="5000;w=3600"),
            (RateLimited, RateLimitExceededError),
        ),
        (status(429, retry_after="100000"), (RateLimited, OSError)),
        (lambda handler: handler.answer(200, b"{", "application/json"), (ServerFault,)),
        (lambda handler: handler.answer(200, b"[1]", "application/json"), (ServerFault,)),
        (lambda handler: handler.answer(200, b"<html>", "text/html"), (ServerFault,)),
        (lambda handler: handler.answer(200, b"[" * 100_000, "application/json"), (ServerFault,)),
        (lambda handler: handler.answer(200, b"x", content_encoding="gzip"), (ServerFault,)),
        (lambda handler: handler.answer(307, b"", location="https://example.org/"), (ServerFault,)),
        (lambda handler: handler.answer(204, b""), (ServerFault,)),
    ],
)
def test_faults_that_stay(
    front: Front, alice: AtmosphereClient, monkeypatch: pytest.MonkeyPatch, fault: Rule, errors: tuple[type, ...]
) -> None:
    monkeypatch.setattr("atdata_atmosphere.session._TRIES", 2)
    client = through(front, alice.export_session())
    front.rule = lambda handler: "com.atproto.repo" in handler.path and fault(handler)
    with pytest.raises(AtmosphereError) as caught:
        client.create_record(KIND, RECORD)
    for error in (*errors, AtdataError, AtProtocolError):
        assert isinstance(caught.value, error)
    assert str(caught.value).startswith("com.atproto.repo.putRecord at http://localhost")
    if "redirects" not in str(caught.value):
        with pytest.raises(AtmosphereError):
            client.list_lenses()


def test_waiting_as_long_as_a_server_says(front: Front, alice: AtmosphereClient) -> None:
    client = through(front, alice.export_session())
    front.rule = times(1, status(429, retry_after="0"), "putRecord")
    uri = client.create_record(KIND, RECORD)
    soon = status(429, ratelimit_reset=str(int(time.time()) + 1))
    front.rule = times(1, soon, "getRecord")
    assert client.get_record(uri)["name"] == "n"
    assert sum("putRecord" in request for request in front.requests) == 2
    impatient = through(front, patience=0.0)
    front.rule = times(1, soon, "getRecord")
    with pytest.raises(RateLimited, match="ask again after 20") as caught:
        impatient.get_record(uri)
    assert caught.value.reset_at is not None


def drip(handler: Handler) -> bool:
    """Send a byte now and then, for ever."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


def drip_headers(handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        handler.wfile.write(b"y")
        time.sleep(0.05)


def pour(handler: Handler) -> bool:
    """Send as much as fits, for ever."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 100_000)


@pytest.mark.parametrize("fault", [drip, drip_headers, lambda handler: bool(time.sleep(2)) or True])
def test_slow_answers(front: Front, alice: AtmosphereClient, fault: Rule) -> None:
    client = through(front, alice.export_session(), timeout=0.3)
    front.rule = lambda handler: "com.atproto.repo" in handler.path and fault(handler)
    for call in (lambda: client.create_record(KIND, RECORD), client.list_lenses):
        with pytest.raises(ServerTimeout, match="no answer in time") as caught:
            call()
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value, InvokeTimeoutError)


def test_endless_answers(front: Front, alice: AtmosphereClient) -> None:
    client = through(front, alice.export_session(), timeout=20.0)
    front.rule = lambda handler: "com.atproto.repo" in handler.path and pour(handler)
    with pytest.raises(ServerFault, match="answers with more than"):
        client.list_lenses()


def test_endless_listings(front: Front) -> None:
    client = through(front)
    counter = itertools.count()
    for cursor in (lambda: "same", lambda: str(next(counter))):
        front.rule = lambda handler, cursor=cursor: (  # type: ignore[misc]
            "listRecords" in handler.path and handler.answer(200, {"records": [], "cursor": cursor()})
        )
        with pytest.raises(ServerFault, match="in circles"):
            client.list_lenses("alice.test")
    front.rule = lambda handler: "listRecords" in handler.path and handler.answer(200, {"records": 5})
    with pytest.raises(ServerFault, match="no list"):
        client.list_lenses("alice.test")


def test_nobody_there(network: Network) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = AtmosphereClient(f"http://localhost:{unused.getsockname()[1]}", allow_insecure=True)
        with pytest.raises(ServerUnreachable, match="refused"):
            client.login("alice.test", "aaaa-bbbb-cccc-dddd")
    client = AtmosphereClient("https://nobody.invalid")
    with pytest.raises(ServerUnreachable, match=r"nobody\.invalid"):
        client.login("alice.test", "aaaa-bbbb-cccc-dddd")


def test_server_killed_while_records_are_written(network: Network, tmp_path: Path) -> None:
    """Every record is there once, and none is lost, though the server died in between."""
    with Network("--plc-only") as directory:
        options = ["--plc", directory.plc, "--dir", str(tmp_path)]
        first = Network(*options, "--handles", "carol.test")
        client = first.client("carol")
        port = first.pds.rpartition(":")[2]
        half = threading.Event()

        def writes() -> Iterator[tuple[str, dict[str, Any]]]:
            for n in range(1000):
                if n == 450:
                    half.set()
                yield KIND, {**RECORD, "n": n}

        written: list[Any] = []
        writer = threading.Thread(target=lambda: written.extend(client.create_records(writes())))
        writer.start()
        half.wait(60)
        first.kill()
        with Network(*options, "--pds-port", port, "--handles", "") as second:
            writer.join(120)
            assert len(written) == 1000
            assert [record["n"] for record in client.iter_records(KIND)] == list(reversed(range(1000)))
            assert second.pds == first.pds
        client.close()
