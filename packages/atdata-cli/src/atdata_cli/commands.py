"""The commands that the root has: its own, and the groups of other distributions. Each is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple, TypeAlias

import typer
from typer.core import TyperGroup

from atdata import plugins
from atdata.errors import AtdataError

LOOKING: Final = "Looking"
MAKING: Final = "Making"
SHARING: Final = "Sharing"
THIS_COMMAND: Final = "This command"
ADDED: Final = "Added by other distributions"


# Options of typer's; it does not export their class.
Options: TypeAlias = list[Any]


class Own(NamedTuple):
    """A command of this distribution.

    Attributes:
        section: where the help of the root lists it.
        module: the module of this package whose ``app``, a ``typer.Typer``, has the command.
        summary: what the help of the root says of it.
    """

    section: str
    module: str
    summary: str


OWN: Final[dict[str, Own]] = {
    "inspect": Own(LOOKING, "looking", "Tell what a dataset is: its type, fields, shards and health."),
    "head": Own(LOOKING, "looking", "Show the first samples, or their pictures."),
    "stats": Own(LOOKING, "statistics", "Tell of each field which values it has."),
    "validate": Own(LOOKING, "checking", "Check every shard, member and field."),
    "diff": Own(LOOKING, "checking", "Show in what two datasets differ."),
    "write": Own(MAKING, "making", "Write a dataset from images, a table, JSON lines or NumPy arrays."),
    "reshard": Own(MAKING, "making", "Write a dataset into larger or smaller shards."),
    "cat": Own(MAKING, "making", "Join datasets into one."),
    "split": Own(MAKING, "making", "Divide a dataset by chance, as into train and test."),
    "export": Own(MAKING, "exporting", "Write a dataset as Parquet, JSON lines or Croissant."),
    "get": Own(SHARING, "sharing", "Copy a dataset to a folder of this machine."),
    "publish": Own(SHARING, "sharing", "Record a dataset in an index under a name."),
    "config": Own(THIS_COMMAND, "configuring", "Show and change settings and profiles."),
    "plugins": Own(THIS_COMMAND, "listing", "List what the installed distributions add to atdata."),
}


class Deferred(TyperGroup):
    """Stands for a command, which it imports only when the command is used.

    Contexts are `Any` here and below: Typer does not export the class that these methods have to accept.

    Args:
        name: name of the command.
        section: where the help of the root lists it.
        summary: what it says of it.
        load: gives the ``typer.Typer`` that has the command by its name.
        options: options that the command has beside its own, or each command of the group.
    """

    def __init__(
        self, name: str, section: str, summary: str, load: Callable[[], typer.Typer], options: Options
    ) -> None:
        super().__init__(name=name, short_help=summary)
        self.section = section
        self._load = load
        self._options = options

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        try:
            loaded = self._load()
        except AtdataError:
            if extra.get("resilient_parsing"):  # A shell asks for completions: there are none.
                return super().make_context(info_name, [], parent, **extra)
            raise
        command: Any = typer.main.get_group(loaded).commands[str(self.name)]
        _add_options(command, self._options)
        return command.make_context(info_name, args, parent, **extra)


def _add_options(command: Any, options: Options) -> None:
    """Give a command, or each command of a group, the options as far as it has none of these names itself."""
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            _add_options(inner, options)
        if not command.invoke_without_command:
            return
    taken = {name for param in command.params for name in param.opts}
    command.params += [option for option in options if taken.isdisjoint(option.opts)]


def own(name: str, options: Options) -> Deferred | None:
    """A command of this distribution, or None."""
    if name not in OWN:
        return None
    section, module, summary = OWN[name]
    return Deferred(name, section, summary, lambda: import_module(f"{__package__}.{module}").app, options)


def registered(name: str, options: Options) -> Deferred | None:
    """The command group that a distribution has registered as `name`, or None."""
    claims = [plugin for plugin in plugins.plugins("atdata.commands") if plugin.name == name]
    if not claims:
        return None
    providers = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in claims)
    summary = f"Added by {providers}." if len(claims) == 1 else f"Unusable: claimed by {providers}."

    def load() -> typer.Typer:
        host = typer.Typer(rich_markup_mode=None)
        host.add_typer(load_group(name), name=name)
        return host

    return Deferred(name, ADDED, summary, load, options)


def load_group(name: str) -> typer.Typer:
    """The command group that is registered as `name`.

    Raises:
        PluginError: there is none, several distributions claim the name, or what is registered cannot be used.
    """
    group = plugins.get("atdata.commands", name)
    if not isinstance(group, typer.Typer):
        (plugin,) = (plugin for plugin in plugins.plugins("atdata.commands") if plugin.name == name)
        raise plugins.PluginBroken(f"{name!r} in atdata.commands is not a typer.Typer in {plugin}: {group!r}")
    return group
