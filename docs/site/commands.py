"""The help of every command as a page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import typer


def _helps(command: Any, name: str, parent: Any, depth: int) -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    found = context.command  # the one that a deferred command stands for
    yield f"{'#' * depth} `{context.command_path}`\n\n```text\n{found.get_help(context).strip()}\n```"
    for inner in found.list_commands(context) if hasattr(found, "list_commands") else []:
        yield from _helps(found.get_command(context, inner), inner, context, depth + 1)


def page() -> str:
    """The command, its groups, and all of their commands."""
    os.environ["COLUMNS"] = "90"  # how wide the help is
    from atdata_cli.app import app

    root = typer.main.get_command(app)
    return "\n\n".join(["# Commands", *_helps(root, "atdata", None, 2)]) + "\n"
