"""Schemes that fsspec reads, and what is said where it cannot."""

import hashlib
import importlib.util
import os
import subprocess
import sys

import pytest

import atdata
from atdata import Dataset, URLSource, plugins
from atdata.errors import AtdataError, ShardCorrupted, ShardIsDirectory, ShardNotFound, ShardUnreadable
from atdata.plugins import PluginNotFound
from atdata.sources import filesystems

SECRET = "hunter2secret"
ROWS = 300


def test_without_fsspec_the_error_says_what_to_install():
    script = """
import sys
sys.modules["fsspec"] = None
import atdata
for url in sys.argv[1:]:
    try:
        atdata.URLSource(url).open_shard(url)
    except atdata.plugins.PluginNotFound as error:
        print(error)
"""
    urls = [
        "gs://b/x.tar",
        "hf://datasets/x.tar",
        "sftp://h/x.tar",
        "az://b/x.tar",
        "abfs://b/x.tar",
        "nosuch://b/x.tar",
    ]
    command = [sys.executable, "-c", script, *urls]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    libraries = ["gcsfs", "huggingface_hub", "paramiko", "adlfs", "adlfs"]
    for line, library in zip(lines, libraries, strict=False):
        assert f"pip install 'atdata-core[fsspec]' {library}" in line
    assert "allow_shell=True" in lines[0]
    assert "allow_shell=True" in lines[2]
    assert "'nosuch'" in lines[-1]
    assert "pip" not in lines[-1]


def test_s3_names_its_own_backend_first(monkeypatch):
    if importlib.util.find_spec("s3fs"):
        pytest.skip("s3fs is installed")
    monkeypatch.setattr(plugins, "_scan", lambda: ())  # as if no backend were installed
    with pytest.raises(PluginNotFound, match=r"pip install .*'atdata-local\[s3\]'.*s3fs") as caught:
        URLSource("s3://bucket/x.tar").open_shard("s3://bucket/x.tar")
    assert caught.value.shard == "s3://bucket/x.tar"


@pytest.mark.skipif(os.name == "nt", reason="needs a program in a script")
def test_with_allow_shell_programs_read_what_they_always_did(tmp_path, monkeypatch):
    atdata.write_samples([{"n": 5}], tmp_path / "data.tar")
    program = tmp_path / "gsutil"
    program.write_text(f'#!/bin/sh\n[ "$1 $2" = "cat gs://bucket/data.tar" ] && exec cat "{tmp_path}/data.tar"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    dataset = Dataset(URLSource("gs://bucket/data.tar", allow_shell=True))
    assert [sample.n for sample in dataset] == [5]


fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")


@pytest.fixture
def data(tmp_path):
    """A shard in fsspec's memory, as ``memory://shards/data.tar``."""
    files = fsspec.filesystem("memory")
    rows = ({"n": n, "data": bytes(3000)} for n in range(ROWS))
    atdata.write_samples(rows, tmp_path / "data.tar")
    data = (tmp_path / "data.tar").read_bytes()
    files.pipe("/shards/data.tar", data)
    yield data
    files.rm("/shards", recursive=True)


def numbers(source):
    return [sample.n for sample in Dataset(source)]


def test_shards_are_read_through_fsspec_in_every_mode(data):
    url = "memory://shards/data.tar"
    assert numbers(url) == list(range(ROWS))
    assert [n for batch in Dataset(url).ordered(batch_size=7) for n in batch.n] == list(range(ROWS))
    assert sorted(sample.n for sample in Dataset(url).shuffled(seed=0)) == list(range(ROWS))
    assert numbers("MEMORY://shards/{data,data}.tar") == [*range(ROWS), *range(ROWS)]


@pytest.mark.usefixtures("data")
def test_what_is_not_there_is_said():
    with pytest.raises(ShardNotFound, match=r"no shard at memory://shards/absent\.tar") as caught:
        numbers("memory://shards/absent.tar")
    assert caught.value.shard == "memory://shards/absent.tar"
    with pytest.raises(ShardIsDirectory, match="memory://shards is a directory"):
        numbers("memory://shards")


def test_digests_are_checked(data):
    url = "memory://shards/data.tar"
    assert numbers(URLSource(url, digests={url: (len(data), hashlib.sha256(data).hexdigest())})) == list(range(ROWS))
    with pytest.raises(ShardCorrupted, match="sha256"):
        numbers(URLSource(url, digests={url: "0" * 64}))


def test_shards_are_cached_by_what_fsspec_knows_of_them(data, tmp_path):
    url = "memory://shards/data.tar"
    source = URLSource(url, cache_dir=tmp_path / "cache")
    for _ in range(2):
        assert numbers(source) == list(range(ROWS))
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.read_bytes() == data
    assert numbers(source) == list(range(ROWS))
    fsspec.filesystem("memory").pipe("/shards/data.tar", data)  # written anew
    assert numbers(source) == list(range(ROWS))
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("scheme", sorted(filesystems._NOT_REMOTE - {"file"}))
def test_schemes_that_reach_into_this_machine_are_refused(scheme, tmp_path):
    atdata.write_samples([{"n": 5}], tmp_path / "data.tar")
    for url in (f"{scheme}://{tmp_path}/data.tar", f"{scheme.upper()}://{tmp_path}/data.tar"):
        with pytest.raises(PluginNotFound, match=scheme):
            numbers(url)


def test_braces_make_no_chain_of_file_systems(tmp_path):
    atdata.write_samples([{"n": 5}], tmp_path / "data.tar")
    chain = f"memory://x{{:,}}{{:,}}file://{tmp_path}/data.tar"
    source = URLSource(chain)
    assert f"memory://x::file://{tmp_path}/data.tar" in source.list_shards()
    with pytest.raises(PluginNotFound, match="memory"):
        numbers(source)


def test_what_fsspec_lacks_is_said_in_its_words():
    from fsspec.registry import known_implementations as known

    libraries = {scheme: known[scheme]["class"].split(".")[0] for scheme in ("gs", "az", "hf", "dropbox", "oss")}
    lacking = [scheme for scheme, library in libraries.items() if not importlib.util.find_spec(library)]
    if not lacking:
        pytest.skip("fsspec lacks nothing here")
    url = f"{lacking[0]}://bucket/x.tar"
    with pytest.raises(PluginNotFound) as caught:
        URLSource(url).open_shard(url)
    assert known[lacking[0]]["err"] in str(caught.value)


@pytest.fixture
def flaky(data):
    """A file system whose files raise what is asked for, after 100,000 bytes; by the scheme ``flaky``."""
    from fsspec.implementations.memory import MemoryFileSystem

    class File:
        def __init__(self, position=0):
            self.position = position

        def seek(self, position):
            self.position = position

        def read(self, size):
            if self.position >= 100_000 and Flaky.faults:
                raise Flaky.faults.pop(0)
            size = min(size, 50_000)
            piece = data[self.position : self.position + size]
            self.position += len(piece)
            return piece

        def close(self):
            raise OSError(f"cannot be closed: {SECRET}")

    class Flaky(MemoryFileSystem):
        protocol = "flaky"
        faults = []  # noqa: RUF012 - shared by all
        opened = []  # noqa: RUF012

        def info(self, path):
            return {"name": path, "size": len(data), "type": "file", "ETag": "one"}

        def open(self, path, mode):
            Flaky.opened.append(path)
            return File()

    fsspec.register_implementation("flaky", Flaky, clobber=True)
    return Flaky


def test_faults_that_can_pass_are_retried_where_they_were(flaky, waits):
    flaky.faults[:] = [ConnectionResetError(), TimeoutError(), EOFError()]
    flaky.opened.clear()
    assert numbers("flaky://shards/data.tar") == list(range(ROWS))
    assert len(flaky.opened) == 4
    assert len(waits) == 3


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, OSError, ConnectionError])
@pytest.mark.usefixtures("waits")
def test_faults_that_do_not_pass_are_errors_without_secrets(flaky, kind):
    flaky.faults[:] = [kind(f"token={SECRET}") for _ in range(9)]
    with pytest.raises(ShardUnreadable, match=rf"cannot be read: {kind.__name__}") as caught:
        numbers(f"flaky://user:{SECRET}@shards/data.tar?key={SECRET}")
    assert isinstance(caught.value, AtdataError)
    error = caught.value
    while error is not None:
        assert SECRET not in f"{error} {error!r} {error.__dict__}"
        error = error.__cause__ or error.__context__
