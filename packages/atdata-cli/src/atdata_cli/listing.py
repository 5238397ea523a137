"""What is installed: the atdata distributions, and the plugins that distributions add."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

import typer

from atdata import plugins
from atdata_cli.arguments import AsJSON
from atdata_cli.commands import OWN, load_group
from atdata_cli.output import examples, print_error, print_json, print_table, say

DISTRIBUTIONS: Final = ("atdata", "atdata-atmosphere", "atdata-cli", "atdata-core", "atdata-local")

app = typer.Typer(rich_markup_mode=None)

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


def examine(*, load: bool) -> list[Row]:
    """Every registered plugin. With `load` each is imported, or else it is "not loaded" unless its name conflicts."""
    found = plugins.plugins()
    claims = Counter((plugin.group, plugin.name) for plugin in found)
    rows: list[Row] = []
    for plugin in found:
        status: Status = "not loaded"
        error: str | None = None
        if plugin.group == "atdata.commands" and plugin.name in OWN:
            # the group of that name would never be reached
            claim = f"{plugin.name!r} in atdata.commands, of {plugin.distribution} {plugin.version},"
            status, error = "conflict", f"{claim} is the name of a command of atdata-cli itself"
        elif load or claims[plugin.group, plugin.name] > 1:
            try:
                if plugin.group == "atdata.commands":
                    load_group(plugin.name)
                else:
                    plugins.get(plugin.group, plugin.name)
                status = "ok"
            except plugins.PluginConflict as conflict:
                status, error = "conflict", str(conflict)
            except plugins.PluginBroken as broken:
                status, error = "broken", str(broken)
        rows.append(Row(plugin.group, plugin.name, plugin.value, plugin.distribution, plugin.version, status, error))
    return rows


@app.command("plugins", epilog=examples("atdata plugins --check", "atdata plugins --json"))
def list_plugins(
    as_json: AsJSON = False,
    check: Annotated[
        bool, typer.Option("--check", help="Import every plugin; exit with 1 if one is broken or in conflict.")
    ] = False,
) -> None:
    """List what the installed distributions add to atdata."""
    rows = examine(load=check)
    if as_json:
        print_json([vars(row) for row in rows])
    elif rows:
        _print_table(rows)
        for message in dict.fromkeys(row.error for row in rows if row.error):
            print_error(message)
    else:
        say("No installed distribution adds a plugin to atdata.")
    if check and any(row.status != "ok" for row in rows):
        raise typer.Exit(1)


def _print_table(rows: list[Row]) -> None:
    from rich.text import Text

    styles: dict[Status, str] = {"ok": "green", "broken": "red", "conflict": "red", "not loaded": "dim"}
    columns = ("group", "name", "object", "distribution", "version", "status")
    print_table(
        columns,
        [
            (row.group, row.name, row.object, row.distribution, row.version, Text(row.status, styles[row.status]))
            for row in rows
        ],
    )
