"""``URLSource``: patterns, paths, schemes, and what it says when something cannot be opened."""

import http.server
import io
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
from braceexpand import UnbalancedBracesError, braceexpand
from costs import cpu_seconds
from hypothesis import example, given
from hypothesis import strategies as st

import atdata
from atdata import Dataset, SampleBatch, URLSource, plugins, write_samples
from atdata.errors import (
    AtdataError,
    ShardCorrupted,
    ShardIsDirectory,
    ShardNotFound,
    ShardPermissionError,
    UnsafeURL,
)
from atdata.plugins import PluginNotFound

posix = pytest.mark.skipif(os.sep == "\\", reason="a backslash separates folders there")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    write_samples(({"n": n} for n in range(6)), folder / "data-%03d.tar", maxcount=2)
    return folder


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; names of a number answer with that status."""

    def do_GET(self):
        name = self.path.partition("?")[0].rpartition("/")[2]
        self.server.seen.append((self.path, self.headers.get("User-Agent")))
        if name.isdigit():
            self.send_error(int(name))
        elif name == "short.tar":
            self.send_response(200)
            self.send_header("Content-Length", "10240")
            self.end_headers()
            self.wfile.write((Path(self.directory) / "data-000.tar").read_bytes()[:1500])
        elif name == "moved.tar":
            self.send_response(302)
            self.send_header("Location", "/data-000.tar")
            self.end_headers()
        elif name == "to-a-file.tar":
            self.send_response(302)
            self.send_header("Location", f"file://{self.directory}/data-000.tar")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server(folder):
    handler = lambda *arguments: Handler(*arguments, directory=str(folder))  # noqa: E731
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()
        thread.join()


def numbers(source):
    return [sample.n for sample in Dataset(source)]


def test_shards_at_an_ipv6_address_are_read(folder):
    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = lambda *arguments: Quiet(*arguments, directory=str(folder))  # noqa: E731
    try:
        server = Server(("::1", 0), handler)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        url = f"http://[::1]:{server.server_port}/data-{{000..002}}.tar"
        try:
            assert numbers(url) == numbers([url]) == list(range(6))
            assert url in repr(Dataset(url))
            assert [sample.n for sample in atdata.load_dataset(url, split="train")] == list(range(6))
        finally:
            server.shutdown()


# ---------------------------------------------------------------------------------------- brace patterns


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data.tar", ["data.tar"]),
        ("data-{000..002}.tar", ["data-000.tar", "data-001.tar", "data-002.tar"]),
        ("data-{9..11}.tar", ["data-9.tar", "data-10.tar", "data-11.tar"]),
        ("data-{2..0}.tar", ["data-2.tar", "data-1.tar", "data-0.tar"]),
        ("data-{0..6..3}.tar", ["data-0.tar", "data-3.tar", "data-6.tar"]),
        ("data-{000000,000005,000009}.tar", ["data-000000.tar", "data-000005.tar", "data-000009.tar"]),
        ("{train,test}-{0..1}.tar", ["train-0.tar", "train-1.tar", "test-0.tar", "test-1.tar"]),
        ("{a,b{1..2}}.tar", ["a.tar", "b1.tar", "b2.tar"]),
        ("{a..c}.tar", ["a.tar", "b.tar", "c.tar"]),
        ("{one}.tar", ["{one}.tar"]),
        ("{}.tar", ["{}.tar"]),
        ("https://example.com/d-{0..1}.tar", ["https://example.com/d-0.tar", "https://example.com/d-1.tar"]),
        ("a.tar::b-{0..1}.tar", ["a.tar", "b-0.tar", "b-1.tar"]),
        (
            "https://[::1]/a.tar::https://[2001:db8::7]:80/b.tar",
            ["https://[::1]/a.tar", "https://[2001:db8::7]:80/b.tar"],
        ),
        ("https://u:p@[fe80::1%25eth0]/{a,b}", ["https://u:p@[fe80::1%25eth0]/a", "https://u:p@[fe80::1%25eth0]/b"]),
        ("https://[::]::[a]::b[0-9].tar::c", ["https://[::]", "[a]", "b[0-9].tar", "c"]),
    ],
)
def test_patterns_stand_for_many_shards(pattern, expected):
    source = URLSource(pattern)
    assert source.list_shards() == source.shard_list == expected
    assert source.url == pattern


PIECES = st.sampled_from(
    [
        "{",
        "}",
        ",",
        "..",
        "a",
        "b",
        "Z",
        "0",
        "1",
        "3",
        "07",
        "-2",
        "12",
        "\\",
        "{1..3}",
        "{a,b}",
        "{a..c}",
        "{3..1..2}",
        ".",
    ]
)


@posix
@given(st.lists(PIECES, min_size=1, max_size=9).map("".join))
@example("}{0..3}{")
@example("}{a,b}{")
@example("{1..3\n}")
@example("{1..3..0}")
@example("{a..Z..-2}")
@example("{{1..2},{a,b}}")
@example("\\{1..3}")
@example("{1..3\\}}")
@example("a\\")
def test_patterns_expand_as_the_braceexpand_library_does(pattern):
    try:
        expected = list(braceexpand(pattern))
    except UnbalancedBracesError:
        with pytest.raises(ValueError, match="braces"):
            URLSource(pattern)
    else:
        if "{" not in pattern and "}" not in pattern:
            expected = [pattern]
        assert URLSource(pattern).list_shards() == expected


BOMBS = [
    "{0..999999999}.tar",
    "{0..1000000}.tar",
    "{0..999}{0..999}{0..999}.tar",
    "{a,b}" * 64,
    "{,}" * 100,
    "{a..z}" * 12,
    "{{0..9999},{0..9999}}{0..9999}",
    "{0..99999999999999999999999}",
    "{1..999999999\n}",
    "{x,{0..999999999}}",
    "{0..999999999..2}",
    "{-999999999..999999999}",
    "{" * 100 + "0..9" + "}" * 100,
    "{a," * 5000 + "b" + "}" * 5000,
    "x" * 100_000 + "{0..999999}",
]


class TooSlow(Exception):
    """A bomb went off, and was stopped."""


@pytest.fixture
def fuse():
    """Stop the test after five seconds, before it takes all memory."""

    def stop(*_):
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs a timer")
@pytest.mark.parametrize("pattern", BOMBS, ids=lambda pattern: ascii(pattern)[:30])
@pytest.mark.usefixtures("fuse")
def test_patterns_for_far_too_many_urls_are_refused_fast_and_in_little_memory(pattern):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r".") as caught:
            URLSource(pattern)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert len(str(caught.value)) < 1000


def test_the_refusal_says_how_many_and_how_many_are_allowed():
    with pytest.raises(UnsafeURL, match="stands for 1,000,001 URLs; at most 1,000,000"):
        URLSource("data-{0..1000000}.tar")


def test_many_urls_are_allowed():
    assert len(URLSource("{00000..99999}.tar").list_shards()) == 100_000


def test_letters_are_counted_as_what_they_stand_for():
    assert len(URLSource("{a..b}" * 6).list_shards()) == 64


@pytest.mark.parametrize("pattern", ["data-{0..3.tar", "data-0..3}.tar", "{a,{b}.tar", "}{"[::-1] + "{"])
def test_unbalanced_braces_are_refused_with_advice(pattern):
    with pytest.raises(ValueError, match=r"not balanced.*pathlib.Path"):
        URLSource(pattern)


def test_opening_one_of_very_many_shards_costs_no_more_than_opening_one_of_few():
    def opened(source):
        for shard in source.list_shards()[-300:]:
            with pytest.raises(ShardNotFound):
                source.open_shard(shard)

    few, many = URLSource("absent-{000000..000299}.tar"), URLSource("absent-{000000..199999}.tar")
    assert cpu_seconds(lambda: opened(many)) < 5 * cpu_seconds(lambda: opened(few))


# ------------------------------------------------------------------------------------------------ paths


def test_paths_are_taken_letter_by_letter(tmp_path):
    for name in ("data-{0..2}.tar", "a::b.tar", "{x", "pct%20.tar", "a*b.tar"):
        write_samples([{"n": 7}], tmp_path / "made.tar", overwrite=True)
        (tmp_path / "made.tar").rename(tmp_path / name)
        source = URLSource(tmp_path / name)
        assert source.list_shards() == [str(tmp_path / name)]
        assert numbers(source) == [7]


@posix
@pytest.mark.parametrize("name", ["run:1.tar", "data-10:30.tar", "http:x.tar", "pipe:x.tar", "file:x.tar"])
def test_relative_paths_with_a_colon_are_paths(tmp_path, monkeypatch, name):
    write_samples([{"n": 7}], tmp_path / "made.tar")
    (tmp_path / "made.tar").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert numbers(Path(name)) == [7]


def test_writing_to_a_relative_path_with_a_colon_works(tmp_path, monkeypatch):
    if os.sep == "\\":
        pytest.skip("colons are not allowed in names there")
    monkeypatch.chdir(tmp_path)
    dataset = write_samples([{"n": 7}], Path("run:1") / "data.tar")
    assert numbers(dataset.source) == [7]


def test_lists_mix_paths_and_patterns(folder):
    source = URLSource([folder / "data-000.tar", f"{folder}/data-{{001..002}}.tar"])
    assert numbers(source) == [0, 1, 2, 3, 4, 5]
    assert source.url == f"{folder}/data-000.tar::{folder}/data-{{001..002}}.tar"


@pytest.mark.parametrize("name", ["", "//localhost"])
def test_file_urls_are_paths(folder, name):
    assert numbers(f"file:{name}{folder}/data-000.tar") == [0, 1]
    assert numbers(f"FILE:{name}{folder}/data-{{000..002}}.tar") == [0, 1, 2, 3, 4, 5]


def test_file_urls_are_unquoted(tmp_path):
    write_samples([{"n": 7}], tmp_path / "a b ü.tar")
    assert numbers((tmp_path / "a b ü.tar").as_uri()) == [7]


def test_file_urls_of_other_machines_are_refused():
    with pytest.raises(UnsafeURL, match="another machine"):
        numbers("file://elsewhere/data.tar")


def test_a_home_folder_is_not_expanded_silently(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_samples([{"n": 7}], tmp_path / "data.tar")
    with pytest.raises(ShardNotFound, match=r"~/data\.tar"):
        numbers("~/data.tar")


@pytest.mark.parametrize("url", [3, None, b"data.tar", [], [3], ["a.tar", None], {}])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(TypeError):
        URLSource(url)


# -------------------------------------------------------------------------------------------- as a source


def test_shards_works_as_property_and_as_method(folder):
    source = URLSource(f"{folder}/data-{{000..002}}.tar")
    for pairs in (source.shards, source.shards(), source.shards):
        opened = []
        for shard, stream in pairs:
            with stream:
                assert stream.read(1)
            opened.append(shard)
        assert opened == source.list_shards()


def test_shards_are_opened_one_by_one(folder):
    shards = iter(URLSource([folder / "data-000.tar", "absent.tar"]).shards)
    _, stream = next(shards)
    stream.close()
    with pytest.raises(ShardNotFound):
        next(shards)


def test_open_shard_opens_a_listed_shard_only(folder):
    source = URLSource(folder / "data-000.tar")
    with source.open_shard(str(folder / "data-000.tar")) as stream:
        assert stream.read() == (folder / "data-000.tar").read_bytes()
    with pytest.raises(KeyError, match=r"data-001\.tar"):
        source.open_shard(str(folder / "data-001.tar"))


def test_changing_the_returned_list_changes_nothing():
    source = URLSource("data-{0..2}.tar")
    source.list_shards().clear()
    assert len(source.list_shards()) == 3


def test_repr_and_pickling(folder):
    source = URLSource(folder / "data-000.tar")
    assert repr(source) == f"URLSource({str(folder / 'data-000.tar')!r})"
    assert numbers(pickle.loads(pickle.dumps(source))) == [0, 1]
    assert pickle.loads(pickle.dumps(URLSource("pipe:true", allow_shell=True))).allow_shell


def test_it_satisfies_the_protocol():
    assert isinstance(URLSource("a.tar"), atdata.DataSource)


# ---------------------------------------------------------------------------------------------- messages

MODES = {
    "ordered": lambda ds: ds.ordered(),
    "ordered batches": lambda ds: ds.ordered(batch_size=2),
    "shuffled": lambda ds: ds.shuffled(seed=0),
    "shuffled batches": lambda ds: ds.shuffled(batch_size=2, seed=0),
    "iteration": lambda ds: ds,
}


@pytest.fixture(params=MODES)
def read(request):
    """Read all of a source, in one of the ways there are."""
    return lambda source: list(MODES[request.param](Dataset(source)))


def test_a_missing_shard_names_itself_and_where_it_was_looked_for(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ShardNotFound, match=re.escape(f"no shard at absent.tar (looked in {tmp_path})")) as caught:
        read("absent.tar")
    assert caught.value.shard == "absent.tar"
    with pytest.raises(ShardNotFound, match=re.escape(f"no shard at {tmp_path / 'absent.tar'}")):
        read(tmp_path / "absent.tar")


def test_a_missing_shard_among_several_is_named(folder, read):
    with pytest.raises(ShardNotFound, match=r"data-003\.tar"):
        read(f"{folder}/data-{{000..003}}.tar")


def test_a_glob_pattern_gets_advice(tmp_path, read):
    with pytest.raises(ShardNotFound, match="load_dataset"):
        read(f"{tmp_path}/*.tar")


def test_a_folder_gets_advice(tmp_path, read):
    with pytest.raises(ShardIsDirectory, match=r"is a directory.*\*\.tar"):
        read(str(tmp_path))


def test_a_file_in_place_of_a_folder_is_not_found_or_no_folder(folder, read):
    with pytest.raises(OSError, match=r"data-000\.tar") as caught:
        read(folder / "data-000.tar" / "x.tar")
    assert isinstance(caught.value, AtdataError)


def test_an_unreadable_shard_is_a_permission_error(folder, tmp_path):
    if not hasattr(os, "setuid") or os.getuid() != 0:
        path = tmp_path / "secret.tar"
        path.write_bytes((folder / "data-000.tar").read_bytes())
        path.chmod(0)
        with pytest.raises(ShardPermissionError, match=r"secret\.tar"):
            numbers(path)
        return
    # root may read everything, so another user tries, in a folder that others may enter
    script = """
import os, tempfile
from pathlib import Path
from atdata import Dataset, write_samples
from atdata.errors import ShardPermissionError
with tempfile.TemporaryDirectory() as folder:
    shard = Path(folder, "secret.tar")
    write_samples([{"n": 1}], shard)
    shard.chmod(0)
    Path(folder).chmod(0o755)
    dataset = Dataset(shard)
    streams = [dataset, dataset.ordered(), dataset.ordered(2), dataset.shuffled(), dataset.shuffled(batch_size=2)]
    for stream in streams:
        assert len(list(stream)) == 1  # imports what the other user might not be able to
    os.seteuid(65534)
    for stream in streams:
        try:
            list(stream)
        except ShardPermissionError as error:
            assert isinstance(error, PermissionError) and "secret.tar" in str(error), error
            print("refused")
    os.seteuid(0)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout == "refused\n" * 5, run.stderr


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("s3://bucket/data.tar", "atdata-local"),
        ("at://did:plc:abc/blob/bafy", "atdata-atmosphere"),
    ],
)
def test_a_scheme_of_a_backend_that_is_not_there_names_what_to_install(url, advice, monkeypatch):
    monkeypatch.setattr(plugins, "_scan", lambda: ())  # as if no backend were installed
    with pytest.raises(PluginNotFound, match=advice):
        numbers(url)


def test_an_unknown_scheme_is_named(read):
    with pytest.raises(PluginNotFound, match="nosuch"):
        read("nosuch://bucket/data.tar")


@pytest.mark.parametrize("url", ["C:/data.tar", "c:data.tar", "C:\\data.tar"])
def test_a_single_letter_is_a_drive_and_no_scheme(url):
    if os.sep == "\\":
        pytest.skip("may exist there")
    with pytest.raises(ShardNotFound):
        numbers(url)


# ------------------------------------------------------------------------------------------------ shells


@pytest.mark.parametrize(
    "url",
    ["pipe:cat {a,b}", "PIPE:cat a", "a.tar::pipe:cat a", ["a.tar", "pipe:cat a"], "{a.tar,pipe:cat b}", " pipe:cat a"],
)
def test_pipes_never_run_without_leave(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UnsafeURL, ShardNotFound)):
        numbers(url)


def test_the_refusal_of_a_pipe_says_how_to_allow_it():
    with pytest.raises(UnsafeURL, match=r"run a command in a shell.*allow_shell=True"):
        URLSource("pipe:cat data.tar")
    with pytest.raises(UnsafeURL):
        Dataset("pipe:cat data.tar")


@posix
def test_pipes_run_when_allowed(folder):
    assert numbers(URLSource(f"pipe:cat '{folder}/data-000.tar'", allow_shell=True)) == [0, 1]
    assert numbers(URLSource(f"pipe:cat {folder}/data-{{000..001}}.tar", allow_shell=True)) == [0, 1, 2, 3]


@posix
@pytest.mark.parametrize("mode", ["ordered", "shuffled"])
def test_a_pipe_that_fails_is_an_error_not_a_short_read(folder, mode):
    source = URLSource(f"pipe:cat '{folder}/data-000.tar'; exit 3", allow_shell=True)
    with pytest.raises(OSError, match="3"):
        list(MODES[mode](Dataset(source)))


@posix
def test_an_allowed_pipe_does_not_leave_a_running_process_when_iteration_stops(folder):
    source = URLSource(f"pipe:cat '{folder}/data-000.tar'; sleep 0.2", allow_shell=True)
    assert [sample.n for sample in Dataset(source).head(1)] == [0]


# -------------------------------------------------------------------------------------------------- http


def test_shards_are_read_over_http(server):
    assert numbers(f"{server.url}/data-000.tar") == [0, 1]
    assert numbers(f"{server.url}/data-{{000..002}}.tar") == [0, 1, 2, 3, 4, 5]
    assert sorted(sample.n for sample in Dataset(f"{server.url}/data-{{000..002}}.tar").shuffled()) == list(range(6))


def test_the_server_is_told_who_asks(server):
    server.seen.clear()
    numbers(f"{server.url}/data-000.tar?token=x")
    ((path, agent),) = server.seen
    assert path == "/data-000.tar?token=x"
    assert agent.startswith("atdata")


def test_redirects_are_followed_to_http_only(server):
    assert numbers(f"{server.url}/moved.tar") == [0, 1]
    with pytest.raises(OSError, match=r"."):
        numbers(f"{server.url}/to-a-file.tar")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, ShardNotFound),
        (410, ShardNotFound),
        (401, ShardPermissionError),
        (403, ShardPermissionError),
        (500, OSError),
        (503, OSError),
    ],
)
@pytest.mark.usefixtures("waits")
def test_errors_of_the_server_name_status_and_shard_and_keep_secrets(server, status, kind, read):
    url = f"{server.url}/{status}?signature=secret"
    with pytest.raises(kind, match=str(status)) as caught:
        read(url)
    assert f"127.0.0.1:{server.server_port}/{status}" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("waits")
def test_a_server_that_is_not_there_is_named(read):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
        read(f"http://127.0.0.1:{port}/data.tar")


@pytest.mark.usefixtures("waits")
def test_a_download_that_is_cut_is_an_error(server, read):
    with pytest.raises((ShardCorrupted, OSError), match=r"short\.tar"):
        read(f"{server.url}/short.tar")


def test_an_http_folder_that_is_no_tar_is_corrupted(server, read):
    with pytest.raises(ShardCorrupted, match=r"127\.0\.0\.1"):
        read(f"{server.url}/")


def test_metadata_is_read_over_http(server, folder):
    (folder / "metadata.msgpack").write_bytes(atdata.DictSample(name="digits").packed)
    assert Dataset("data.tar", metadata_url=f"{server.url}/metadata.msgpack").metadata == {"name": "digits"}


def test_streams_need_not_be_files(folder, read):
    class Trickle(io.RawIOBase):
        """Gives a few bytes at a time, and has no readinto of its own."""

        def __init__(self, data):
            self._data = io.BytesIO(data)

        def readable(self):
            return True

        def read(self, size=-1):
            return self._data.read(min(size, 777) if size >= 0 else -1)

        readinto = None

    class Source:
        def list_shards(self):
            return ["data-000.tar"]

        def open_shard(self, shard):
            return Trickle((folder / shard).read_bytes())

    items = read(Source())
    samples = [sample for item in items for sample in (item if isinstance(item, SampleBatch) else [item])]
    assert sorted(sample.n for sample in samples) == [0, 1]
