"""The real command for tests, without a terminal and with one, and what it looks at."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import atdata
from atdata_cli.app import app

COMMAND = shutil.which("atdata", path=Path(sys.executable).parent) or "atdata"


@atdata.packable
class Digit:
    """A handwritten digit."""

    image: NDArray[np.uint8]
    label: int
    name: str
    score: float | None = None


def digits(count: int) -> Iterator[Digit]:
    """Digits whose image is their number everywhere; each third has a score."""
    for number in range(count):
        image = np.full((8, 8), number % 256, np.uint8)
        yield Digit(image=image, label=number % 10, name=f"digit {number}", score=None if number % 3 else number / 2)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 25 digits for training in three shards, and 5 for testing in one; not to be changed."""
    folder = tmp_path_factory.mktemp("digits")
    atdata.write_samples(digits(25), folder / "train.tar", maxcount=10)
    atdata.write_samples(digits(5), folder / "test.tar")
    return folder


@dataclass(frozen=True)
class Done:
    """What a command has printed, and how it ended."""

    code: int
    out: str
    err: str


Run: TypeAlias = Callable[..., Done]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The variables of a command: those of the tests, without what tells it of a terminal or of a person's files."""
    left_out = ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "PYTHONWARNINGS", "ATDATA_INDEX_URL")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    homes = {name: str(tmp_path / name) for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    return {**kept, **homes, "PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color"}


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process, which takes less time, in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path, stdin: bytes = b"", **env: str) -> Done:
        unset = dict.fromkeys(os.environ.keys() - environment.keys())
        done = CliRunner().invoke(app, [*map(str, arguments)], input=stdin, env={**unset, **environment, **env})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def execute(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs the executable with pipes, in the test's own folder."""

    def execute(*arguments: str | Path, stdin: bytes = b"", **env: str) -> Done:
        done = subprocess.run(
            [COMMAND, *map(str, arguments)], input=stdin, capture_output=True, cwd=tmp_path, env={**environment, **env}
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return execute


@pytest.fixture
def terminal(environment: dict[str, str], tmp_path: Path) -> Run:
    """Runs the executable in a terminal of 100 columns, where output and errors are one text."""
    fcntl = pytest.importorskip("fcntl", reason="there are no pseudo-terminals here")
    termios = pytest.importorskip("termios", reason="there are no pseudo-terminals here")

    def run(*arguments: str | Path, **env: str) -> Done:
        controller, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        streams: dict[str, Any] = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
        with subprocess.Popen(
            [COMMAND, *map(str, arguments)], cwd=tmp_path, env={**environment, **env}, **streams
        ) as process:
            os.close(terminal)
            text = b""
            while True:
                try:
                    piece = os.read(controller, 65536)
                except OSError:  # Linux says so when the last process has closed the terminal
                    break
                if not piece:
                    break
                text += piece
        os.close(controller)
        return Done(process.returncode, text.decode().replace("\r\n", "\n"), "")

    return run
