"""The root of the ``atdata`` command: its own commands, and the groups that other distributions add."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from atdata import plugins
from atdata.errors import AtdataError
from atdata_cli.listing import COMMAND, installed_releases, list_plugins, load_command_group, print_error


class _PluginGroup(TyperGroup):
    """Stands for a registered command group, which it imports only when the group is used.

    Contexts are `Any` here and below: Typer does not export the class that these methods have to accept.
    """

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        try:
            registered = load_command_group(str(self.name))
        except AtdataError:
            if extra.get("resilient_parsing"):  # A shell asks for completions: there are none.
                return super().make_context(info_name, [], parent, **extra)
            raise
        host = typer.Typer(rich_markup_mode=None)
        host.add_typer(registered, name=self.name)
        group: Any = typer.main.get_group(host).get_command(parent, str(self.name))
        return group.make_context(info_name, args, parent, **extra)


class _RootGroup(TyperGroup):
    """Lists the registered command groups beside its own commands, and prints atdata's errors as one line."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        registered = {plugin.name for plugin in plugins.plugins("atdata.commands")}
        return [*own, *sorted(registered.difference(own))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        claims = [plugin for plugin in plugins.plugins("atdata.commands") if plugin.name == cmd_name]
        if not claims:
            return None
        providers = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in claims)
        summary = f"Added by {providers}." if len(claims) == 1 else f"Unusable: claimed by {providers}."
        return _PluginGroup(name=cmd_name, short_help=summary)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AtdataError as error:
            if ctx.params["debug"]:
                raise
            print_error(error)
            raise typer.Exit(1) from error


def _print_versions(wanted: bool) -> None:
    if not wanted:
        return
    for distribution, version in installed_releases():
        typer.echo(f"{distribution} {version}")
    raise typer.Exit


# Plain help texts: boxes and colours would follow the output into files and pipes, and Rich takes long to import.
app = typer.Typer(
    cls=_RootGroup,
    name="atdata",
    help="Work with distributed, typed datasets.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_versions,
            is_eager=True,
            help="Print the version of every installed atdata distribution.",
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of an error; goes before the command.")
    ] = False,
) -> None:
    """Options that come before the name of a command."""


app.command(COMMAND)(list_plugins)
