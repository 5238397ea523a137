"""The root of the ``atdata`` command: its commands, the options that all of them have, and what becomes of errors."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from atdata import plugins
from atdata_cli import process
from atdata_cli.commands import ADDED, LOOKING, MAKING, OWN, SHARING, THIS_COMMAND, own, registered
from atdata_cli.output import print_error, settings

_SHARED = ("--quiet", "--verbose", "--debug")


@contextmanager
def _reader_may_leave() -> Generator[None]:
    try:
        yield
    except BrokenPipeError as error:
        process.leave_unread()
        raise typer.Exit(process.UNREAD) from error


class _RootGroup(TyperGroup):
    """Has its own commands and the registered groups, all imported when they are used; prints errors as one line."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        settings.reset()  # an earlier command in this process may have had others
        with _reader_may_leave():
            return super().make_context(info_name, args, parent, **extra)

    def list_commands(self, ctx: Any) -> list[str]:
        groups = {plugin.name for plugin in plugins.plugins("atdata.commands")}
        return [*OWN, *sorted(groups.difference(OWN))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        shared = [param for param in self.params if not set(_SHARED).isdisjoint(param.opts)]
        return own(cmd_name, shared) or registered(cmd_name, shared)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in OWN:  # perhaps misspelt: Typer looks for the like among these
            self.commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        width = max(map(len, found))
        for section in (LOOKING, MAKING, SHARING, THIS_COMMAND, ADDED):
            rows = [
                (name.ljust(width), command.get_short_help_str(formatter.width - width - 6))
                for name, command in found.items()
                if command.section == section
            ]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        process.show_logs()
        try:
            with _reader_may_leave():
                return super().invoke(ctx)
        except Exception as error:
            # Typer itself ends the program for what has an exit code, and for these two
            if settings.debug or isinstance(error, typer.Abort | EOFError) or hasattr(error, "exit_code"):
                raise
            print_error(process.explain(error))
            raise typer.Exit(1) from error


def _print_versions(wanted: bool) -> None:
    if not wanted:
        return
    from atdata_cli.listing import installed_releases

    for distribution, version in installed_releases():
        typer.echo(f"{distribution} {version}")
    raise typer.Exit


def _use_profile(ctx: typer.Context, name: str | None) -> None:
    if name is None:
        return
    variable = "ATDATA_PROFILE"
    before = os.environ.get(variable)

    def restore() -> None:  # other commands may follow in this process
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before

    os.environ[variable] = name
    ctx.call_on_close(restore)


def _be_quiet(wanted: bool) -> None:
    settings.quiet = settings.quiet or wanted


def _be_verbose(wanted: bool) -> None:
    settings.verbose = settings.verbose or wanted


def _debug(wanted: bool) -> None:
    settings.debug = settings.debug or wanted


# Plain help texts: boxes and colours would follow the output into files and pipes, and Rich takes long to import.
app = typer.Typer(
    cls=_RootGroup,
    name="atdata",
    help="Work with distributed, typed datasets.",
    epilog="The options -q, -v and --debug may stand before or behind the command. 'atdata COMMAND --help' tells more.",
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
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            callback=_use_profile,
            is_eager=True,
            expose_value=False,
            help="Use the settings of this profile; goes before the command. See 'atdata config'.",
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            *("-q", "--quiet"),
            callback=_be_quiet,
            is_eager=True,
            expose_value=False,
            help="Print only results and errors.",
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("-v", "--verbose", callback=_be_verbose, is_eager=True, expose_value=False, help="Print more."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", callback=_debug, is_eager=True, expose_value=False, help="Print the traceback of an error."
        ),
    ] = False,
) -> None:
    """Options that come before the name of a command."""
