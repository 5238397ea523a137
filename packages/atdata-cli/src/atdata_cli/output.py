"""What commands print and how, the same for all of them; groups of other distributions may use it, too.

Results go to the standard output, all else (notes, progress, warnings, errors) to the standard error. Text that comes
from data passes through ``plain`` before a terminal sees it.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeAlias

import typer

# What may move the cursor, change the order of letters, or hide: controls, bidirectional and invisible format
# characters, line separators, halves of surrogate pairs, tags. Joiners stay: scripts and emoji need them.
_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)

# How wide a table is where the output has no width.
_ENDLESS: Final = 100_000

Advance: TypeAlias = Callable[[int, "int | None"], object]


class Settings:
    """What the options that every command has ask for.

    Attributes:
        quiet: whether only results and errors are wanted.
        verbose: whether details are wanted.
        debug: whether errors shall have tracebacks.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Ask for none of this."""
        self.quiet = self.verbose = self.debug = False


settings = Settings()


def plain(value: object, *, keep: str = "") -> str:
    """The text of a value, with what could act on a terminal written as an escape such as ``\\x1b``.

    Args:
        value: any value; its ``str()`` is the text.
        keep: control characters that may stay, such as line breaks.
    """
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), str(value))


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def say(text: object = "") -> None:
    """Print a result for people; it may have several lines."""
    typer.echo(plain(text, keep="\n"))


def note(text: object) -> None:
    """Print what is good to know and no result, such as the next command to type; nothing with ``--quiet``."""
    if not settings.quiet:
        typer.echo(plain(text, keep="\n"), err=True)


def detail(text: object) -> None:
    """Print what only ``--verbose`` asks for."""
    if settings.verbose and not settings.quiet:
        typer.echo(plain(text, keep="\n"), err=True)


def print_error(message: object) -> None:
    """Print one line to the standard error, whatever line breaks the message has."""
    typer.echo(f"atdata: {plain(' '.join(str(message).split()))}", err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON.

    Numbers that JSON has not are the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``; what is neither a number, a
    text, a bool, None, a list nor a mapping is its ``str()``.
    """
    typer.echo(json_text(value))


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """A value as ``print_json`` prints it, on one line without ``indent``."""
    text = json.dumps(_json_value(value), indent=indent, ensure_ascii=False, allow_nan=False)
    # json.dumps has escaped line breaks in texts: those left are its own
    return _CONTROL.sub(lambda found: "\n" if found[0] == "\n" else json.dumps(found[0])[1:-1], text)


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        names = {math.inf: "Infinity", -math.inf: "-Infinity"}
        return value if math.isfinite(value) else names.get(value, "NaN")
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_json_value(item) for item in value]
    return str(value)


def changes_json(found: Any) -> dict[str, Any]:
    """An ``atdata.schema.SchemaDiff``, for ``--json``."""
    parts = ("added", "removed", "changed", "breaks_readers", "breaks_writers", "compatible")
    return {part: getattr(found, part) for part in parts}


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> None:
    """Print rows below each other; columns without names have no heading.

    Args:
        columns: names of the columns.
        rows: the cells of each row, which are text; those that are ``rich.text.Text`` keep their style.
        right: names of columns that are flush right, as numbers are.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(Text(plain(column)), overflow="fold", justify="right" if column in right else "left")
    # A file or a pipe has no width, and may be read line by line: there each row is one line.
    keep = "\n" if sys.stdout.isatty() else ""
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell, keep=keep)) for cell in row))
    console().print(table)


def console(*, err: bool = False) -> Any:
    """A ``rich.console.Console`` that is as wide as the terminal, and without limit or colour where there is none."""
    from rich.console import Console

    class _Console(Console):
        def on_broken_pipe(self) -> None:
            raise  # the root command ends for all output alike

    options: dict[str, Any] = {"stderr": err, "markup": False, "emoji": False, "highlight": False}
    if not (sys.stderr if err else sys.stdout).isatty():
        return _Console(**options, force_terminal=False, width=_ENDLESS)
    # Rich alone would leave bold and dim text
    return _Console(**options, color_system=None) if os.environ.get("NO_COLOR") else _Console(**options)


@contextmanager
def progress(
    unit: Literal["samples", "bytes", "shards"] = "samples", total: int | None = None
) -> Generator[Advance | None]:
    """A bar on a terminal, gone when all is done; None elsewhere, and with ``--quiet``.

    Args:
        unit: what is counted.
        total: how many there will be, if that is known before ``atdata.progress.Progress`` tells.

    Yields:
        What ``progress=`` of atdata's functions takes: call it with how many are done, and with how many there are.
    """
    if settings.quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = [DownloadColumn()] if unit == "bytes" else [MofNCompleteColumn(), TextColumn(unit)]
    with Progress(BarColumn(), *count, TimeRemainingColumn(), console=console(err=True), transient=True) as bar:
        task = bar.add_task("", total=total)

        def tell(done: int, total: int | None, /) -> None:
            bar.update(task, completed=done, total=total)

        yield tell


def examples(*lines: str) -> str:
    """What a command's help ends with: ``@app.command(epilog=examples("atdata head data/"))``."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
