"""``atdata config``: what is set, where that came from, and how it is changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from .arguments import AsJSON
from .output import examples, note, print_json, print_table, say

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

app = typer.Typer(rich_markup_mode=None)
config = typer.Typer(rich_markup_mode=None)
app.add_typer(config, name="config")

Key: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", help="profile, or a setting of a profile.")]
Profile: TypeAlias = Annotated[str | None, typer.Option(help="The profile; by default the one in use.")]


@config.callback(
    invoke_without_command=True,
    epilog=examples(
        "atdata config",
        "atdata config set index redis://redis.example.org:6379/0 --profile lab",
        "atdata config set profile lab",
        "ATDATA_PROFILE=lab atdata config --json",
    ),
)
def show(ctx: typer.Context, as_json: AsJSON = False) -> None:
    """Show the settings and where each came from: an environment variable, a profile, or nowhere.

    An option of a command wins over the variable, the variable over the profile. The file holds no secrets.
    """
    if ctx.invoked_subcommand is not None:
        return
    from atdata import config

    rows = []
    for setting in config.SETTINGS.values():
        value, origin = config.find(setting.name)
        shown = None if value is None else config.shown(setting, value)
        rows.append({"name": setting.name, "value": shown, "origin": origin or None, "variable": setting.variable})
    if as_json:
        print_json({"file": str(config.path()), "profiles": sorted(_profiles()), "settings": rows})
        return
    table = [[str(row[key] or "") for key in ("name", "value", "origin", "variable")] for row in rows]
    print_table(("setting", "value", "from", "variable"), table)
    names = ", ".join(sorted(_profiles())) or "none"
    note(f"Profiles: {names}; in {config.path()}")


def _profiles() -> Any:
    from atdata import config

    return config.read(config.path()).get("profiles", {})


@config.command("set", epilog=examples("atdata config set store s3://lab/datasets", "atdata config set profile lab"))
def set_value(key: Key, value: Annotated[str, typer.Argument(metavar="VALUE")], profile: Profile = None) -> None:
    """Set a setting in a profile, or which profile is in use."""
    from atdata import config

    if key == "profile":
        if profile is not None:
            raise typer.BadParameter("a profile holds no profile; leave --profile out")
        _name(value)
        _change(lambda content: content.update({"profile": value}))
        if value not in _profiles() and value != config.DEFAULT:
            note(f"There is no profile {value!r} yet; make it: atdata config set index URL")
        return
    name = _name(profile or config.find("profile").value or config.DEFAULT)
    config.check(key, value, f"profile {name!r}")
    if key in ("store", "session", "cache") and "://" not in value:
        value = os.path.abspath(Path(value).expanduser())  # a profile is used in any folder
    _change(lambda content: _table(content, name).update({key: value}))
    setting = config.SETTINGS[key]
    if os.environ.get(setting.variable):
        note(f"{setting.variable} is set, and wins.")


@config.command("unset", epilog=examples("atdata config unset store"))
def unset(key: Key, profile: Profile = None) -> None:
    """Remove a setting from a profile."""
    from atdata import config

    name = profile or config.find("profile").value or config.DEFAULT
    before = config.read(config.path())
    table = before if key == "profile" else before.get("profiles", {}).get(name, {})
    if key not in table:
        raise typer.BadParameter(f"{'the file' if key == 'profile' else f'profile {name!r}'} has no {key!r}")

    def remove(content: TOMLDocument) -> None:
        if key == "profile":
            del content["profile"]
        else:
            del _table(content, name)[key]
            if not _table(content, name):
                del content["profiles"][name]

    _change(remove)


@config.command("path", epilog=examples("atdata config path"))
def path(as_json: AsJSON = False) -> None:
    """Print where the file is, or would be."""
    from atdata import config

    file = config.path()
    if as_json:
        print_json({"file": str(file), "exists": file.exists()})
    else:
        say(file)


def _name(profile: str) -> str:
    if not profile.replace("-", "").replace("_", "").isalnum():
        raise typer.BadParameter(f"{profile!r} is no name of a profile: letters, digits, - and _")
    return profile


def _table(content: TOMLDocument, profile: str) -> Any:
    import tomlkit

    profiles: Any = content.setdefault("profiles", tomlkit.table(is_super_table=True))
    return profiles.setdefault(profile, tomlkit.table())


def _change(change: Any) -> None:
    """Change the file in one step, and keep the comments in it."""
    import tomlkit

    from atdata import config
    from atdata.atomic import locked, replace_file

    file = config.path().resolve()  # a link stays one
    config.read(file)  # which says what is wrong with it
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.with_name(f".{file.name}.lock")):
        content = tomlkit.parse(file.read_text(encoding="utf-8")) if file.exists() else tomlkit.document()
        change(content)
        replace_file(file, tomlkit.dumps(content).encode())
