"""What is installed: the atdata distributions, and the plugins that distributions add."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

import typer

from atdata import plugins

DISTRIBUTIONS: Final = ("atdata", "atdata-atmosphere", "atdata-cli", "atdata-core", "atdata-local")

# The command that a group of the same name in `atdata.commands` would never be reached under.
COMMAND: Final = "plugins"

Status: TypeAlias = Literal["not loaded", "ok", "broken", "conflict"]


@dataclass(frozen=True)
class Row:
    """A plugin and whether it can be used. The field names are the keys of ``atdata plugins --json``."""

    group: str
    name: str
    object: str
    distribution: str
    version: str
    status: Status
    error: str | None


def installed_releases() -> list[tuple[str, str]]:
    """Name and version of each installed distribution that belongs to atdata or adds a plugin to it, sorted."""
    from importlib.metadata import PackageNotFoundError, version

    releases = {plugin.distribution: plugin.version for plugin in plugins.plugins()}
    for distribution in DISTRIBUTIONS:
        try:
            releases[distribution] = version(distribution)
        except PackageNotFoundError:
            continue
    return sorted(releases.items())


def load_command_group(name: str) -> typer.Typer:
    """The command group that is registered as `name`.

    Raises:
        PluginError: there is none, several distributions claim the name, or what is registered cannot be used.
    """
    group = plugins.get("atdata.commands", name)
    if not isinstance(group, typer.Typer):
        (plugin,) = (plugin for plugin in plugins.plugins("atdata.commands") if plugin.name == name)
        raise plugins.PluginBroken(f"{name!r} in atdata.commands is not a typer.Typer in {plugin}: {group!r}")
    return group


def print_error(message: object) -> None:
    """Print one line to the standard error, whatever line breaks the message has."""
    typer.echo(f"atdata: {' '.join(str(message).split())}", err=True)


def examine(*, load: bool) -> list[Row]:
    """Every registered plugin. With `load` each is imported, or else it is "not loaded" unless its name conflicts."""
    found = plugins.plugins()
    claims = Counter((plugin.group, plugin.name) for plugin in found)
    rows: list[Row] = []
    for plugin in found:
        status: Status = "not loaded"
        error: str | None = None
        if (plugin.group, plugin.name) == ("atdata.commands", COMMAND):
            status, error = "conflict", f"{COMMAND!r} in atdata.commands is the name of a command of atdata-cli itself"
        elif load or claims[plugin.group, plugin.name] > 1:
            try:
                if plugin.group == "atdata.commands":
                    load_command_group(plugin.name)
                else:
                    plugins.get(plugin.group, plugin.name)
                status = "ok"
            except plugins.PluginConflict as conflict:
                status, error = "conflict", str(conflict)
            except plugins.PluginBroken as broken:
                status, error = "broken", str(broken)
        rows.append(Row(plugin.group, plugin.name, plugin.value, plugin.distribution, plugin.version, status, error))
    return rows


def list_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Import every plugin; exit with 1 if one is broken or in conflict.")
    ] = False,
) -> None:
    """List what the installed distributions add to atdata."""
    rows = examine(load=check)
    if as_json:
        typer.echo(json.dumps([vars(row) for row in rows], indent=2))
    elif rows:
        _print_table(rows)
        for message in dict.fromkeys(row.error for row in rows if row.error):
            print_error(message)
    else:
        typer.echo("No installed distribution adds a plugin to atdata.")
    if check and any(row.status != "ok" for row in rows):
        raise typer.Exit(1)


def _print_table(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("group", "name", "object", "distribution", "version", "status"):
        table.add_column(column, overflow="fold")
    styles: dict[Status, str] = {"ok": "green", "broken": "red", "conflict": "red", "not loaded": "dim"}
    for row in rows:
        cells = (row.group, row.name, row.object, row.distribution, row.version)
        table.add_row(*map(Text, cells), Text(row.status, styles[row.status]))
    # A file or a pipe has no width: there each plugin takes one line, whatever its length.
    console = Console() if sys.stdout.isatty() else Console(force_terminal=False, width=100_000)
    console.print(table)
