"""Files that appear whole or not at all, among real processes."""

import errno
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atdata.atomic import Staging, locked, replace_file, write_private
from atdata.errors import ShardExists

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python process; it is killed and waited for when the test is over."""
    processes: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ready(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert says(process) == "ready"


def release(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def go(*processes: subprocess.Popen[str]) -> None:
    """Let processes go on, all at once."""
    ready(*processes)
    release(*processes)


def finished(*processes: subprocess.Popen[str]) -> list[str]:
    """What is left of the processes' output, after they have ended without an error."""
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return outputs


def staged(staging: Staging, name: str, content: bytes) -> None:
    with open(staging.create(name), "wb") as file:
        file.write(content)


def sweep(folder: Path) -> None:
    """What every writer does before it begins: remove what dead ones have left."""
    Staging(folder).discard()


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


# ------------------------------------------------------------------------------------------ publishing


def test_a_published_file_is_there_with_its_content_and_nothing_else_is(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    staged(staging, "a.tar", b"content")
    assert not (tmp_path / "a.tar").exists()
    staging.publish("a.tar", overwrite=False)
    staging.sync()
    staging.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert (tmp_path / "a.tar").read_bytes() == b"content"


def test_what_was_not_published_is_discarded(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    staged(staging, "a.tar", b"content")
    staging.discard()
    staging.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_taken_name_is_refused_and_its_file_kept(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"old")
    staging = Staging(tmp_path)
    staged(staging, "a.tar", b"new")
    with pytest.raises(ShardExists, match="overwrite=True") as caught:
        staging.publish("a.tar", overwrite=False)
    assert isinstance(caught.value, FileExistsError)
    assert (tmp_path / "a.tar").read_bytes() == b"old"
    staging.publish("a.tar", overwrite=True)
    assert (tmp_path / "a.tar").read_bytes() == b"new"
    staging.discard()


def test_a_name_taken_by_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").symlink_to(tmp_path / "nowhere")
    staging = Staging(tmp_path)
    staged(staging, "a.tar", b"new")
    with pytest.raises(ShardExists):
        staging.publish("a.tar", overwrite=False)
    assert not (tmp_path / "nowhere").exists()
    staging.discard()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS], ids=errno.errorcode.get)
def test_file_systems_without_hard_links_publish_too(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: object, target: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    staging = Staging(tmp_path)
    staged(staging, "a.tar", b"content")
    staging.publish("a.tar", overwrite=False)
    staged(staging, "a.tar", b"other")
    with pytest.raises(ShardExists):
        staging.publish("a.tar", overwrite=False)
    staging.discard()
    assert (tmp_path / "a.tar").read_bytes() == b"content"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_published_files_have_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        staging = Staging(tmp_path)
        staged(staging, "a.tar", b"")
        staging.publish("a.tar", overwrite=False)
        staging.discard()
        replace_file(tmp_path / "b.json", b"")
    finally:
        os.umask(old)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a.tar", "b.json")] == [0o640, 0o640]


RACE = """
    import os, sys
    from pathlib import Path
    from atdata.errors import ShardExists
    from atdata.atomic import Staging

    folder, me, overwrite = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "overwrite"
    staging = Staging(folder)
    for name in range(60):
        with open(staging.create(f"{name}.tar"), "wb") as file:
            file.write(me.encode() * 1000)
    print("ready", flush=True)
    sys.stdin.readline()
    won = []
    for name in range(60):
        try:
            staging.publish(f"{name}.tar", overwrite=overwrite)
            won.append(name)
        except ShardExists:
            pass
    staging.discard()
    print(*won)
"""


def test_of_racing_publishers_exactly_one_wins(start: Start, tmp_path: Path) -> None:
    racers = [start(RACE, tmp_path, me, "keep") for me in "abcd"]
    go(*racers)
    wins = [[int(name) for name in output.split()] for output in finished(*racers)]
    assert sorted(name for won in wins for name in won) == list(range(60))
    for me, won in zip("abcd", wins, strict=True):
        for name in won:
            assert (tmp_path / f"{name}.tar").read_bytes() == me.encode() * 1000
    assert leftovers(tmp_path) == []


def test_racing_publishers_that_overwrite_leave_a_whole_file_of_one_of_them(start: Start, tmp_path: Path) -> None:
    racers = [start(RACE, tmp_path, me, "overwrite") for me in "abc"]
    go(*racers)
    assert [output.split() for output in finished(*racers)] == [[str(n) for n in range(60)]] * 3
    for name in range(60):
        content = (tmp_path / f"{name}.tar").read_bytes()
        assert content in (b"a" * 1000, b"b" * 1000, b"c" * 1000)
    assert leftovers(tmp_path) == []


# ----------------------------------------------------------------------------------------------- stale

WRITER = """
    import sys
    from pathlib import Path
    from atdata.atomic import Staging

    staging = Staging(Path(sys.argv[1]))
    with open(staging.create("a.tar"), "wb") as file:
        file.write(b"half of a sha")
    print("ready", flush=True)
    sys.stdin.readline()
    staging.publish("a.tar", overwrite=False)
    staging.discard()
"""


def test_what_a_killed_process_left_is_removed(start: Start, tmp_path: Path) -> None:
    (tmp_path / "other.tar").write_bytes(b"")
    writer = start(WRITER, tmp_path)
    ready(writer)
    writer.kill()
    writer.wait()
    assert len(leftovers(tmp_path)) == 1
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other.tar"]


def test_what_a_living_process_uses_is_not_removed(start: Start, tmp_path: Path) -> None:
    own = Staging(tmp_path)
    staged(own, "b.tar", b"b")
    writer = start(WRITER, tmp_path)
    ready(writer)
    sweep(tmp_path)
    assert len(leftovers(tmp_path)) == 2
    release(writer)
    finished(writer)
    own.publish("b.tar", overwrite=False)
    own.discard()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.tar": b"half of a sha", "b.tar": b"b"}


def test_a_writer_removes_what_a_killed_one_left(start: Start, tmp_path: Path) -> None:
    import atdata

    writer = start(WRITER, tmp_path)
    ready(writer)
    writer.kill()
    writer.wait()
    atdata.write_samples([{"x": 1}], tmp_path / "a.tar")
    assert leftovers(tmp_path) == []


def test_other_hidden_things_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".hidden").write_bytes(b"")
    (tmp_path / "atdata-tmp-visible").mkdir()
    before = sorted(tmp_path.iterdir())
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_whose_owner_died_before_it_could_lock_it_is_removed(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    (folder,) = tmp_path.iterdir()
    staging.discard()
    folder.mkdir()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_writers_that_begin_and_end_at_the_same_time_do_not_disturb_each_other(start: Start, tmp_path: Path) -> None:
    working = """
        import os, sys
        from pathlib import Path
        from atdata.atomic import Staging

        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(300):
            staging = Staging(Path(sys.argv[1]))
            os.close(staging.create("a.tar"))
            staging.publish("a.tar", overwrite=True)
            staging.discard()
    """
    workers = [start(working, tmp_path) for _ in range(4)]
    go(*workers)
    finished(*workers)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


# ---------------------------------------------------------------------------------------------- locked


def test_a_lock_excludes_other_processes_and_leaves_no_file(start: Start, tmp_path: Path) -> None:
    counting = """
        import sys
        from pathlib import Path
        from atdata.atomic import locked

        folder = Path(sys.argv[1])
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(150):
            with locked(folder / ".lock"):
                count = int((folder / "count").read_text())
                (folder / "count").write_text(str(count + 1))
    """
    (tmp_path / "count").write_text("0")
    counters = [start(counting, tmp_path) for _ in range(4)]
    go(*counters)
    finished(*counters)
    assert (tmp_path / "count").read_text() == "600"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_a_lock_excludes_other_threads(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with locked(tmp_path / ".lock"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


HOLDER = """
    import sys
    from pathlib import Path
    from atdata.atomic import locked

    with locked(Path(sys.argv[1])):
        print("ready", flush=True)
        sys.stdin.readline()
    print("released", flush=True)
"""


def test_a_lock_is_waited_for_and_then_gone(start: Start, tmp_path: Path) -> None:
    holder = start(HOLDER, tmp_path / ".lock")
    ready(holder)
    waiter = start(HOLDER, tmp_path / ".lock")
    got = threading.Event()
    threading.Thread(target=lambda: says(waiter) == "ready" and got.set()).start()
    assert not got.wait(0.5)
    finished_output = holder.communicate("go\n", timeout=300)[0]
    assert finished_output.split() == ["released"]
    assert got.wait(300)
    waiter.communicate("go\n", timeout=300)
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free(start: Start, tmp_path: Path) -> None:
    holder = start(HOLDER, tmp_path / ".lock")
    ready(holder)
    holder.kill()
    holder.wait()
    with locked(tmp_path / ".lock"):
        assert (tmp_path / ".lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_an_exception_inside_releases_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / ".lock"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / ".lock"):
        pass


# --------------------------------------------------------------------------------------------- replace


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    for content in (b"first", b"second, longer", b""):
        replace_file(path, content)
        assert path.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_readers_never_see_half_a_file(start: Start, tmp_path: Path) -> None:
    replacing = """
        import sys
        from pathlib import Path
        from atdata.atomic import replace_file

        path = Path(sys.argv[1])
        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(120):
            replace_file(path, b"%d" % (n % 10) * (10_000 + 1000 * (n % 10)))
    """
    path = tmp_path / "manifest.json"
    replace_file(path, b"0" * 10_000)
    writer = start(replacing, path)
    go(writer)
    seen = set()
    while writer.poll() is None:
        content = path.read_bytes()
        digit = int(content[:1])
        assert content == b"%d" % digit * (10_000 + 1000 * digit)
        seen.add(digit)
    finished(writer)
    assert len(seen) > 1


def test_a_half_written_replacement_of_a_killed_process_does_no_harm(start: Start, tmp_path: Path) -> None:
    dying = """
        import os, sys
        from pathlib import Path
        from atdata import atomic

        os.replace = lambda *_: os.kill(os.getpid(), 9)
        atomic.replace_file(Path(sys.argv[1]), b"never seen")
    """
    path = tmp_path / "manifest.json"
    replace_file(path, b"old")
    start(dying, path).wait(timeout=300)
    assert path.read_bytes() == b"old"
    assert len(leftovers(tmp_path)) == 1
    replace_file(path, b"new")
    sweep(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"manifest.json": b"new"}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_private_file_is_nobody_elses_business(tmp_path: Path) -> None:
    path = tmp_path / "session"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_private(tmp_path / "folder", "new")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "session"]
