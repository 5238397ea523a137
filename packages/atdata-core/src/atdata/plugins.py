"""The registry of what installed distributions add to atdata.

A distribution adds objects through entry points in the groups of `GROUPS`. Nothing is read before it is asked for,
and listing plugins imports none of them.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, TypeAlias, get_args

from atdata._facade import installed_version
from atdata.errors import AtdataError

__all__ = [
    "GROUPS",
    "Group",
    "Plugin",
    "PluginBroken",
    "PluginConflict",
    "PluginError",
    "PluginNotFound",
    "get",
    "load_all",
    "plugins",
    "refresh",
]

Group: TypeAlias = Literal["atdata.commands", "atdata.indexes", "atdata.sources", "atdata.stores"]

GROUPS: Final[tuple[Group, ...]] = get_args(Group)

_PROVIDERS: Final[dict[tuple[Group, str], str]] = {
    ("atdata.indexes", "atmosphere"): "atdata-atmosphere",
    ("atdata.indexes", "local"): "atdata-local",
    ("atdata.sources", "at"): "atdata-atmosphere",
    ("atdata.sources", "s3"): "atdata-local[s3]",
    ("atdata.stores", "file"): "atdata-local",
    ("atdata.stores", "pds"): "atdata-atmosphere",
    ("atdata.stores", "s3"): "atdata-local[s3]",
}


class PluginError(AtdataError):
    """Base of the errors of the plugin registry."""


class PluginNotFound(PluginError, LookupError):
    """No installed distribution provides the plugin."""


class PluginConflict(PluginError, LookupError):
    """Several distributions claim one name in one group."""


class PluginBroken(PluginError, ImportError):
    """A plugin's object cannot be imported; ``__cause__`` is the error that its import raised."""


@dataclass(frozen=True)
class Plugin:
    """One entry point: what a distribution adds to atdata under a name.

    Attributes:
        group: the entry-point group, one of `GROUPS`.
        name: the name within the group, such as the URL scheme ``s3``.
        value: where the object is, as ``package.module:attribute``.
        distribution: the name of the distribution that provides it.
        version: the version of that distribution.
    """

    group: Group
    name: str
    value: str
    distribution: str
    version: str

    def load(self) -> Any:
        """Import the object, once; later calls return the same one.

        Raises:
            PluginBroken: its import fails.
        """
        return _load(self)

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.value})"


def plugins(group: Group | None = None) -> list[Plugin]:
    """Every plugin of a group, or of all groups, sorted by group, name and distribution.

    Lists what the distributions declare and imports nothing, so plugins that are broken or whose names conflict are
    among them.

    Raises:
        ValueError: `group` is not one of `GROUPS`.
    """
    if group is None:
        return list(_scan())
    if group not in GROUPS:
        raise ValueError(f"{group!r} is not a plugin group; the groups are {', '.join(GROUPS)}")
    return [plugin for plugin in _scan() if plugin.group == group]


def get(group: Group, name: str) -> Any:
    """Load the object that is registered as `name` in `group`.

    Raises:
        PluginNotFound: no installed distribution provides it; says which names there are, and what to install.
        PluginConflict: several distributions claim the name.
        PluginBroken: its import fails.
        ValueError: `group` is not one of `GROUPS`.
    """
    found = plugins(group)
    claims = [plugin for plugin in found if plugin.name == name]
    if not claims:
        names = ", ".join(dict.fromkeys(plugin.name for plugin in found)) or "none"
        advice = _how_to_get(group, name)
        raise PluginNotFound(f"no installed distribution provides {name!r} in {group} (there is: {names}){advice}")
    if len(claims) > 1:
        raise PluginConflict(
            f"{name!r} in {group} is claimed by {' and by '.join(map(str, claims))}; uninstall all but one of them"
        )
    return claims[0].load()


def load_all(group: Group) -> dict[str, Any]:
    """Load every plugin of a group, by name. Those that cannot be used are left out, each with one `RuntimeWarning`.

    Raises:
        ValueError: `group` is not one of `GROUPS`.
    """
    loaded: dict[str, Any] = {}
    for name in dict.fromkeys(plugin.name for plugin in plugins(group)):
        try:
            loaded[name] = get(group, name)
        except PluginError as error:
            if str(error) not in _reported:
                _reported.add(str(error))
                warnings.warn(f"plugin left out: {error}", RuntimeWarning, stacklevel=2)
    return loaded


def refresh() -> None:
    """Forget what was found and loaded, so that distributions installed since then are seen."""
    from importlib import invalidate_caches

    invalidate_caches()
    _scan.cache_clear()
    _load.cache_clear()
    _reported.clear()


# What `load_all` has warned of. Threads may race for it and for the two caches below; the worst is work done twice.
_reported: Final[set[str]] = set()


@cache
def _scan() -> tuple[Plugin, ...]:
    from importlib import metadata

    found: dict[tuple[str, str, str], Plugin] = {}
    seen: set[str] = set()
    for distribution in metadata.distributions():
        # Most distributions end here, which spares reading all their METADATA and lets none of them fail.
        if "atdata." not in (distribution.read_text("entry_points.txt") or ""):
            continue
        if "Name" not in distribution.metadata:  # The remains of a release that was removed.
            continue
        name = distribution.name
        canonical = re.sub(r"[-_.]+", "-", name).lower()
        if canonical in seen:
            continue
        seen.add(canonical)
        try:
            # The one that comes first on sys.path, as for `import`: it may be a release with other entry points.
            distribution = metadata.distribution(name)
            version = distribution.version
            entry_points = distribution.entry_points
        except (ImportError, TypeError, ValueError) as error:
            warnings.warn(f"the entry points of {name} cannot be read: {error}", RuntimeWarning, stacklevel=3)
            continue
        for group in GROUPS:
            for entry in entry_points.select(group=group):
                plugin = Plugin(group, entry.name, entry.value, name, version)
                found.setdefault((group, entry.name, canonical), plugin)
    return tuple(found[key] for key in sorted(found))


@cache
def _load(plugin: Plugin) -> Any:
    from importlib.metadata import EntryPoint

    try:
        return EntryPoint(plugin.name, plugin.value, plugin.group).load()
    except Exception as error:  # The import of foreign code may raise anything.
        message = f"{plugin.name!r} in {plugin.group} cannot be loaded from {plugin}: {type(error).__name__}: {error}"
        requirement = _PROVIDERS.get((plugin.group, plugin.name), "")
        if isinstance(error, ImportError) and requirement.partition("[")[0] == plugin.distribution:
            message += f"; what it needs comes with: {_pip_install(requirement)}"
        raise PluginBroken(message) from error


def _how_to_get(group: Group, name: str) -> str:
    requirement = _PROVIDERS.get((group, name))
    if requirement is None:
        return ""
    distribution = requirement.partition("[")[0]
    version = installed_version(distribution)
    if version is None:
        return f"; run: {_pip_install(requirement)}"
    return f"; {distribution} {version} does not have it, a newer release may: {_pip_install('-U', requirement)}"


def _pip_install(*arguments: str) -> str:
    from shlex import join

    return join(["pip", "install", *arguments])
