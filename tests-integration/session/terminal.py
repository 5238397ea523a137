"""Commands at a pseudo-terminal: what they show, as text and as a picture."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyte

WIDTH, HEIGHT = 112, 200
# Of the terminal in the picture: names as pyte gives them
COLOURS = {
    "default": "#d8dee9",
    "black": "#4c566a",
    "red": "#bf616a",
    "green": "#a3be8c",
    "brown": "#ebcb8b",
    "blue": "#81a1c1",
    "magenta": "#b48ead",
    "cyan": "#88c0d0",
    "white": "#e5e9f0",
}
BACKGROUND, PROMPT = "#2e3440", "#a3be8c"


@dataclass(frozen=True)
class Step:
    """A command and what the terminal showed of it in the end.

    Attributes:
        who: whose terminal it was.
        command: what was typed.
        lines: lines of characters, each with its colour.
    """

    who: str
    command: str
    lines: list[list[tuple[str, str]]]

    @property
    def text(self) -> str:
        """The lines without colours."""
        return "\n".join("".join(character for character, _ in line).rstrip() for line in self.lines)


def run(who: str, command: str, folder: Path, environment: Mapping[str, str]) -> Step:
    """Run a command of the shell at a terminal of its own.

    Raises:
        AssertionError: it fails; tells what it showed.
    """
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = {**os.environ, **environment, "PATH": path, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(["bash", "-c", command], cwd=folder, env=given, stdin=end, stdout=end, stderr=end)
    os.close(end)
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.ByteStream(screen)
    try:
        while data := os.read(terminal, 65536):
            stream.feed(data)
    except OSError:  # closed at the other end
        pass
    os.close(terminal)
    lines = [
        [(screen.buffer[row][column].data, screen.buffer[row][column].fg) for column in range(WIDTH)]
        for row in range(HEIGHT)
    ]
    while lines and not "".join(character for character, _ in lines[-1]).strip():
        lines.pop()
    step = Step(who, command, lines)
    assert process.wait() == 0, f"{command}\n{step.text}"
    return step


def picture(steps: list[Step], path: Path) -> None:
    """Draw a session as a PNG."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSansMono.ttf", 14)
    wide, high, margin = font.getlength("x"), 19, 16
    rows: list[list[tuple[str, str]]] = []
    for step in steps:
        rows.append([(f"{step.who} $ ", PROMPT), (step.command, "#ffffff")])
        rows += [
            [(character, COLOURS.get(colour, COLOURS["default"])) for character, colour in line] for line in step.lines
        ]
        rows.append([])
    image = Image.new("RGB", (int(wide * (WIDTH + 2)) + 2 * margin, high * len(rows) + 2 * margin), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for number, row in enumerate(rows):
        x = float(margin)
        for text, colour in row:
            draw.text((x, margin + number * high), text, fill=colour, font=font)
            x += wide * len(text)
    image.quantize(64).save(path, optimize=True)
