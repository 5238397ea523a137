"""What long operations tell of how far they are."""

import os
import subprocess
import sys

import pytest

import atdata
from atdata import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that each look moves on by 10 ms."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(progress, "monotonic", lambda: next(ticks) / 100)


def rows(count):
    return [{"n": n} for n in range(count)]


def told(samples, path):
    calls = []
    atdata.write_samples(samples, path, progress=lambda done, total: calls.append((done, total)))
    return calls


def test_calls_are_few_rise_and_end_with_all(tmp_path, clock):
    calls = told(rows(1000), tmp_path / "data.tar")
    assert calls == sorted(calls)
    assert calls[0][0] == 1
    assert calls[-1] == (1000, 1000)
    assert 90 < len(calls) < 110  # ten a second


def test_nobody_knows_how_long_a_generator_is(tmp_path):
    assert told((row for row in rows(5)), tmp_path / "data.tar")[-1] == (5, None)


@pytest.mark.parametrize("quiet", [None, False])
def test_silence_costs_nothing(quiet):
    items = rows(3)
    assert progress.counted(items, quiet, lambda: pytest.fail("nobody asks")) is items


def test_an_exception_stops_the_writing_and_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atdata.write_samples(rows(100), tmp_path / "data.tar", progress=stop)
    assert [*tmp_path.iterdir()] == []


def compare_with_itself(dataset, progress):
    return atdata.compare(dataset, dataset, progress=progress)


@pytest.mark.parametrize("look", [atdata.validate, atdata.stats, compare_with_itself])
def test_where_a_manifest_is_damaged_nobody_knows_how_many_there_are(tmp_path, look):
    dataset = atdata.write_samples(rows(5), tmp_path / "data.tar")
    (tmp_path / "manifest.json").write_text("{")
    calls = []
    look(dataset, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (5, None)


CODE = """
import atdata
atdata.write_samples([{"n": n} for n in range(50)], "data.tar", progress=True)
"""


def test_the_bar_is_quiet_where_there_is_no_terminal(tmp_path):
    pytest.importorskip("tqdm", reason="the bar is tqdm's")
    done = subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


JOIN = """
import atdata, atdata.reshape
atdata.reshape.join([atdata.write_samples([{"n": n} for n in range(50)], "data.tar")], "joined", progress=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize(("code", "words"), [(CODE, ("50/50", " samples/s")), (JOIN, ("100%", "?B/s"))])
def test_the_bar_shows_on_a_terminal(tmp_path, code, words):
    pytest.importorskip("tqdm", reason="the bar is tqdm's")
    import termios

    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert all(word in shown for word in words)
    assert shown.endswith("\n")


def test_without_tqdm_the_error_says_what_to_install(tmp_path):
    code = f"import sys; sys.modules['tqdm'] = None\n{CODE}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "BackendNotInstalled: tqdm is not installed; run: pip install 'atdata-core[progress]'" in done.stderr
    assert [*tmp_path.iterdir()] == []
