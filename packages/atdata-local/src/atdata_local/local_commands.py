"""The command group ``local``: a Redis and an S3 server for development."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from atdata_cli.arguments import AsJSON
from atdata_cli.output import examples, print_json, say

from . import development
from .development import How, Servers
from .places import server_folder

local_group = typer.Typer(help="A Redis and an S3 server of your own, for development.", no_args_is_help=True)

Folder: TypeAlias = Annotated[
    Path | None, typer.Option("--folder", help="Where their data are; by default in the user's data directory.")
]


@local_group.command(
    "up",
    epilog=examples("atdata local up", "atdata local up --with docker --redis-port 6380", 'eval "$(atdata local up)"'),
)
def up(
    how: Annotated[
        str | None, typer.Option("--with", help="docker or pip, the first time; by default docker where it runs.")
    ] = None,
    redis_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Redis, the first time.")] = 6379,
    s3_port: Annotated[int, typer.Option(min=1, max=55535, help="Port of the S3 service, the first time.")] = 9000,
    folder: Folder = None,
    as_json: AsJSON = False,
) -> None:
    """Start the servers, on loopback only. Prints what to export."""
    ways: dict[str | None, How | None] = {"docker": "docker", "pip": "pip", None: None}
    if how not in ways:
        raise typer.BadParameter(f"{how!r} is neither docker nor pip")
    where = folder or server_folder()
    _print(development.up(where, how=ways[how], redis_port=redis_port, s3_port=s3_port), where, as_json)


@local_group.command("status", epilog=examples("atdata local status --json"))
def status(folder: Folder = None, as_json: AsJSON = False) -> None:
    """Tell what runs, and what to export. Exits with 1 if not all run."""
    where = folder or server_folder()
    known = development.status(where)
    if known is None:
        say("null" if as_json else "There are no servers; atdata local up starts them.")
        raise typer.Exit(1)
    _print(known, where, as_json)
    if not all(known.running.values()):
        raise typer.Exit(1)


@local_group.command("down", epilog=examples("atdata local down"))
def down(folder: Folder = None) -> None:
    """Stop the servers. Their data stay for the next time."""
    where = folder or server_folder()
    known = development.down(where)
    say("There are no servers." if known is None else f"The servers are stopped; their data stay in {where}.")


def _print(known: Servers, folder: Path, as_json: bool) -> None:
    if as_json:
        content = {"with": known.how, "running": known.running, "bucket": known.bucket, "folder": str(folder)}
        print_json(content | {"environment": known.environment})
        return
    for name, runs in known.running.items():
        port = known.redis_port if name == "redis" else known.s3_port
        say(f"# {name}: {'runs' if runs else 'does not run'} at 127.0.0.1:{port} (with {known.how})")
    say(f"# bucket: {known.bucket}; data: {folder}")
    for name, value in known.environment.items():
        say(f"export {name}={shlex.quote(value)}")
