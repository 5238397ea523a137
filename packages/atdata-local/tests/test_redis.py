"""The team's catalog on real servers: those that refuse, fill up, die and come back."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from servers import Server, free_ports, wait_until

import atdata
from atdata.errors import EntryNotFound
from atdata_local import Index, LocalDatasetEntry, servers
from atdata_local.catalog import redis as catalogs
from atdata_local.entries import keep
from atdata_local.errors import (
    IndexCorrupted,
    IndexDenied,
    IndexFull,
    IndexReadOnly,
    IndexUnreachable,
)


@atdata.packable
class Digit:
    label: int


def entry(number: int, **facts: Any) -> LocalDatasetEntry:
    url = f"s3://bucket/{number}.tar"
    return LocalDatasetEntry(f"d{number}", "atdata://local/sampleSchema/Digit@1.0.0", [url], **facts)


def names(index: Index) -> list[str]:
    return [found.name for found in index.list_datasets()]


@pytest.fixture
def own(redis_program: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers for one test."""
    running: list[Server] = []

    def start(**options: str) -> Server:
        running.append(Server(tmp_path / f"server-{len(running)}", **options))
        return running[-1]

    yield start
    for one in running:
        one.stop()


# -- servers for development


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not stopped there")
def test_a_busy_server_is_waited_for(own: Callable[..., Server]) -> None:
    server = own(requirepass="secret")
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    soon = threading.Timer(1.5, server.process.send_signal, [signal.SIGCONT])
    soon.start()
    assert servers.answers_ping(server.port, "secret")
    soon.join()
    assert not servers.answers_ping(server.port, "another")


# -- ways in


def test_every_way_to_connect(redis_server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(Index(redis_url).catalog, entry(1))
    port = redis_server.port
    for index in (
        Index(redis=redis.Redis(port=port)),
        Index(redis.Redis(port=port, decode_responses=True)),
        Index(redis.Redis(port=port, protocol=2)),
        Index(host="localhost", port=port, db=0),
        Index(f"redis://127.0.0.1:{port}"),
        Index(redis=f"redis://localhost:{port}/0"),
    ):
        assert names(index) == ["d1"]
        assert index.catalog.audit() == []
        index.close()
    assert names(Index(host="localhost", port=port, db=1)) == []
    monkeypatch.setenv("ATDATA_INDEX_URL", redis_url)
    assert names(Index()) == ["d1"]


def test_unix_socket(own: Callable[..., Server]) -> None:
    with tempfile.TemporaryDirectory(prefix="r") as folder:  # such paths may not be long
        own(unixsocket=f"{folder}/s")
        index = Index(f"unix://{folder}/s")
        keep(index.catalog, entry(1))
        assert names(Index(unix_socket_path=f"{folder}/s")) == ["d1"]


def test_urls_that_are_shown_have_brackets_and_the_scheme_of_the_connection() -> None:
    assert Index("redis://[::1]:1/3").url == "redis://[::1]:1/3"
    for given in ({"ssl": True}, {"connection_class": redis.SSLConnection}):
        # of a cluster's client only these two are asked, and a cluster with TLS would need certificates
        node, kwargs = SimpleNamespace(host="::1", port=7000), dict[str, Any](given)
        answers = {"get_nodes": lambda node=node: [node], "get_connection_kwargs": lambda kwargs=kwargs: kwargs}
        cluster = SimpleNamespace(**answers)
        assert catalogs._public_url(cluster) == "rediss://[::1]:7000/0"


def test_repositories_share_a_server_without_meeting(redis_url: str, redis_server: Server) -> None:
    ours, theirs = Index(redis_url), Index(redis_url, repository="theirs")
    keep(ours.catalog, entry(1))
    keep(theirs.catalog, entry(2))
    assert (names(ours), names(theirs)) == (["d1"], ["d2"])
    keys = {key.decode().partition(":")[0] for key in redis_server.client().scan_iter()}
    assert keys == {"{atdata}", "{theirs}"}
    for name in ("", "a b", "{a}", "*"):
        with pytest.raises(ValueError, match="repository"):
            Index(redis_url, repository=name)


def test_cluster_by_a_node_and_by_its_own_client(redis_cluster: list[Server]) -> None:
    for node in redis_cluster:
        node.client().flushall()
    client = RedisCluster(host="127.0.0.1", port=redis_cluster[0].port)
    index = Index(redis=client)
    assert index.insert_dataset(atdata.Dataset[Digit]("s3://b/a.tar"), name="a").schema_ref.endswith("Digit@1.0.0")
    for node in redis_cluster:
        assert names(Index(node.url)) == names(Index(host="127.0.0.1", port=node.port)) == ["a"]
    holders = [node.client().dbsize() for node in redis_cluster]
    assert sorted(holders)[:2] == [0, 0], "all keys of a repository are on one node"
    assert index.catalog.audit() == []
    assert names(Index(index.url)) == ["a"], "what is shown can be pasted"
    strangers = [node for node, keys in zip(redis_cluster, holders, strict=True) if keys == 0]
    with pytest.raises(IndexUnreachable, match="RedisCluster"):
        names(Index(redis=strangers[0].client()))
    client.close()


def test_no_command_that_stops_the_server(redis_server: Server, redis_url: str) -> None:
    with redis_server.client() as client:
        client.config_resetstat()
        index = Index(redis_url)
        for number in range(3):
            keep(index.catalog, entry(number))
        index.publish_schema(Digit)
        index.search("d")
        index.list_entries()
        index.delete_entry("d1")
        assert index.catalog.audit() == []
        used = client.info("commandstats")
    assert "cmdstat_keys" not in used
    assert "cmdstat_scan" in used


# -- faults


def test_no_server_is_told_at_once() -> None:
    (port,) = free_ports(1)
    for index in (Index(f"redis://:secret@127.0.0.1:{port}"), Index(host="127.0.0.1", port=port, password="secret")):
        with pytest.raises(IndexUnreachable, match=f"127.0.0.1:{port}") as caught:
            index.list_datasets()
        assert isinstance(caught.value, ConnectionError)
        assert "secret" not in str(caught.value)


def test_what_is_no_redis_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(IndexUnreachable, match="Redis"):
            Index(f"redis://127.0.0.1:{listener.getsockname()[1]}").list_datasets()


def test_wrong_password_is_told(own: Callable[..., Server]) -> None:
    port = own(requirepass="right").port
    assert names(Index(f"redis://:right@127.0.0.1:{port}")) == []
    for index in (Index(f"redis://:wrong@127.0.0.1:{port}"), Index(f"redis://127.0.0.1:{port}")):
        with pytest.raises(IndexDenied, match="password") as caught:
            index.list_datasets()
        assert isinstance(caught.value, PermissionError)
        assert "wrong" not in str(caught.value)


def test_user_who_may_only_read_is_told(own: Callable[..., Server]) -> None:
    running = own()
    keep(Index(running.url).catalog, entry(1))
    running.client().execute_command(
        "ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+evalsha", "+eval", "+info"
    )
    index = Index(f"redis://reader:pw@127.0.0.1:{running.port}")
    assert names(index) == ["d1"]
    with pytest.raises(IndexDenied, match="ACL"):
        keep(index.catalog, entry(2))
    assert names(index) == ["d1"]
    assert index.catalog.audit() == []


def test_replica_is_read_and_not_written(own: Callable[..., Server]) -> None:
    master = own(repl_diskless_sync_delay="0")
    keep(Index(master.url).catalog, entry(1))
    replica = own(replicaof=f"127.0.0.1 {master.port}")
    index = Index(replica.url)
    wait_until(lambda: names(index) == ["d1"])
    assert index.get_entry(entry(1).cid).name == "d1"
    with pytest.raises(IndexReadOnly, match="replica"):
        keep(index.catalog, entry(2))


def test_full_server_refuses_whole_entries_and_lets_delete(own: Callable[..., Server]) -> None:
    running = own(maxmemory="4mb", maxmemory_policy="noeviction")
    index = Index(running.url)
    kept: list[str] = []

    def fill() -> None:
        for number in range(2_000):
            keep(index.catalog, entry(number, description=f"text {number} " * 300))
            kept.append(f"d{number}")

    with pytest.raises(IndexFull, match="maxmemory"):
        fill()
    assert kept
    assert names(index) == sorted(kept)
    assert index.catalog.audit() == []
    with pytest.raises(IndexFull):
        index.publish_schema(Digit, description="text " * 20_000)
    assert index.list_schemas() == []
    for name in kept[:20]:
        index.delete_entry(name)
    assert names(index) == sorted(kept[20:])
    assert index.catalog.audit() == []


def test_evicted_record_is_told_and_can_be_mended(redis_server: Server, redis_url: str) -> None:
    index = Index(redis_url)
    for number in range(3):
        keep(index.catalog, entry(number, tags=["t"]))
    redis_server.client().delete(f"{{atdata}}:entry:{entry(1).cid}")
    with pytest.raises(IndexCorrupted, match="noeviction"):
        index.get_dataset("d1")
    assert names(index) == ["d0", "d2"]
    assert [found.name for found in index.search(tags=["t"])] == ["d0", "d2"]
    assert "no record" in "; ".join(index.catalog.audit())
    keep(index.catalog, entry(1, tags=["t"]))
    assert names(index) == ["d0", "d1", "d2"]
    assert index.catalog.audit() == []
    redis_server.client().delete(f"{{atdata}}:entry:{entry(2).cid}")
    index.catalog.delete("d2", None, ["d2"])
    assert not [problem for problem in index.catalog.audit() if "words" not in problem]


def test_something_else_under_our_keys_is_told(redis_server: Server, redis_url: str) -> None:
    redis_server.client().set("{atdata}:names", "not ours")
    with pytest.raises(IndexCorrupted, match="something else"):
        names(Index(redis_url))


def test_server_that_dies_and_comes_back_loses_and_doubles_nothing(own: Callable[..., Server]) -> None:
    running = own(appendonly="yes", appendfsync="always")
    index = Index(running.url)
    index.publish_schema(Digit)
    stop = threading.Event()
    refs: list[str] = []
    done: list[int] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            number = 0
            while not stop.is_set():
                keep(index.catalog, entry(number))
                done.append(number)
                refs.append(index.publish_schema(Digit))
                if number >= 2:
                    index.delete_entry(f"d{number - 2}")
                number += 1
        except BaseException as error:
            errors.append(error)

    def goes_on() -> None:
        before = len(done)
        wait_until(lambda: len(done) > before + 1 or bool(errors))

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(3):
        goes_on()
        running.stop()
        running.start()
    goes_on()
    stop.set()
    worker.join()
    assert errors == []
    assert len(done) > 3
    assert names(index) == sorted(f"d{number}" for number in done[-2:])
    assert len(set(refs)) == len(refs) == len(index.list_schemas()) - 1
    assert index.catalog.audit() == []


def test_server_that_stays_away_is_told_in_the_end(own: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "PATIENCE", 0.2)
    running = own()
    index = Index(redis=redis.Redis(port=running.port, retry=Retry(NoBackoff(), 0)))
    assert names(index) == []
    running.stop()
    with pytest.raises(IndexUnreachable, match="running"):
        names(index)


def test_lost_answer_does_not_count_a_version_twice(redis_server: Server, redis_url: str) -> None:
    """The client sends the same publication twice, as it does when the answer to the first was lost."""

    class Forgetful:
        def __init__(self, client: Any) -> None:
            self._client, self.forgets = client, False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def evalsha(self, *arguments: Any) -> Any:
            answer = self._client.evalsha(*arguments)
            if self.forgets:
                self.forgets = False
                raise redis.ConnectionError("the answer was lost")
            return answer

    client = Forgetful(redis_server.client())
    index = Index(redis=client)
    index.publish_schema(Digit)
    client.forgets = True
    assert index.publish_schema(Digit).endswith("@1.0.1")
    assert len(index.list_schemas()) == 2
    for number in range(2):
        client.forgets = True
        keep(index.catalog, entry(number))
    client.forgets = True
    assert index.catalog.rename("d0", "d7", ["d0"], ["d7"]) == "missing"
    index.catalog.rename("d7", "d0", ["d7"], ["d0"])
    before = index.get_dataset("d0")
    real = index.catalog.rename

    def rename_with_lost_answer(*arguments: Any) -> str:
        client.forgets = True
        return real(*arguments)

    index.catalog.rename = rename_with_lost_answer  # type: ignore[method-assign]
    assert index.rename("d0", "d7").cid == before.cid
    client.forgets = True
    index.catalog.delete("d7", None, ["d7"])
    with pytest.raises(EntryNotFound):
        index.get_dataset("d7")
    assert names(index) == ["d1"]
    assert index.catalog.audit() == []


def test_script_is_sent_again_to_a_server_that_forgot_it(redis_server: Server, redis_url: str) -> None:
    index = Index(redis_url)
    keep(index.catalog, entry(1))
    redis_server.client().script_flush()
    assert names(index) == ["d1"]


WITHOUT = """
import sys
sys.modules["redis" if {module!r} == "redis" else "redis_om"] = None
from atdata_local import Index, LocalDatasetEntry
from atdata_local.entries import keep
try:
    index = Index({url!r})
    keep(index.catalog, LocalDatasetEntry("a", "b", ["c"]))
except ImportError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("module", ["redis", "redis_om"])
def test_missing_extra_says_what_to_install(module: str, redis_url: str) -> None:
    program = WITHOUT.format(module=module, url=redis_url)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("BackendNotInstalled")
    assert "pip install 'atdata-local[redis]'" in done.stdout


def test_reading_needs_no_redis_om(redis_url: str) -> None:
    keep(Index(redis_url).catalog, entry(1))
    program = (
        f"import sys; from atdata_local import Index; found = Index({redis_url!r}).list_datasets()\n"
        "print(len(found), 'redis_om' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]


def test_audit_finds_what_contradicts_itself(redis_server: Server, redis_url: str) -> None:
    index = Index(redis_url)
    for number in range(4):
        keep(index.catalog, entry(number, tags=[f"t{number}"]))
    index.publish_schema(Digit)
    client = redis_server.client(decode_responses=True)
    client.set("{atdata}:stranger", "x")
    client.zrem("{atdata}:names", f"d0\0{entry(0).cid}")
    client.zrem("{atdata}:order", f"d1\0{entry(1).cid}")
    client.zrem("{atdata}:words", "#t2\0d2")
    client.zadd("{atdata}:words", {"x\0d9": 0})
    client.hset(f"{{atdata}}:entry:{entry(3).cid}", "seq", "77")
    client.delete("{atdata}:shapes")
    problems = "\n".join(index.catalog.audit())
    for part in (
        "stranger is nobody's",
        "'d0' dangles",
        "'d1': order and history differ",
        "'d2' is not found",
        "'d9' is found by words",
        "'d3': the record",
        "schema Digit@1.0.0 is not in all",
    ):
        assert part in problems, problems
