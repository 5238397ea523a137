"""Settings of a person or a team: what an environment variable says, else the profile in use, else nothing.

    profile = "lab"                              # the one in use; "default" without this line

    [profiles.lab]
    index = "redis://redis.example.org:6379/0"
    store = "s3://lab/datasets"

The file is ``config.toml`` in the user's configuration folder. It holds no secrets: those are in the session file, in
the variables of a process, or where a service keeps its own, as ``~/.aws`` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from .errors import ConfigError

DEFAULT: Final = "default"

_SECRET = re.compile(r"pass|secret|token|credential|signature|private|(api|access|auth).?key", re.IGNORECASE)


class Setting(NamedTuple):
    """Something that can be set.

    Attributes:
        name: its key in a profile.
        variable: the environment variable that says the same, and wins.
        about: what it is.
        kept: whether a profile may hold it.
    """

    name: str
    variable: str
    about: str
    kept: bool = True

    @property
    def secret(self) -> bool:
        """Whether it must never be shown."""
        return _SECRET.search(self.name) is not None


SETTINGS: Final[Mapping[str, Setting]] = {
    setting.name: setting
    for setting in (
        Setting("profile", "ATDATA_PROFILE", "the profile in use", kept=False),
        Setting("index", "ATDATA_INDEX_URL", "URL of the index: sqlite:///absolute/path, redis://host:6379/0"),
        Setting("store", "ATDATA_STORE_URL", "URL of the store that takes shards for @local: a folder, s3://bucket"),
        Setting("pds", "ATDATA_PDS", "URL of the account's PDS"),
        Setting("plc", "ATDATA_PLC", "URL of the PLC directory"),
        Setting("handle", "ATDATA_HANDLE", "handle of the account"),
        Setting("session", "ATDATA_SESSION_FILE", "file of the account's session"),
        Setting("cache", "ATDATA_CACHE_DIR", "folder that keeps what was read from the network"),
        # a file would say it for good, and of servers that it was not meant for
        Setting("allow_insecure", "ATDATA_ALLOW_INSECURE", "1 for a test network without TLS", kept=False),
        Setting("app_password", "ATDATA_APP_PASSWORD", "app password, for the first login", kept=False),
    )
}


class Value(NamedTuple):
    """What a setting is.

    Attributes:
        value: its value, or None.
        origin: where it came from: the name of a variable, ``profile lab``, or empty.
    """

    value: str | None
    origin: str


def path() -> Path:
    """The file of the profiles, whether it is there or not: ``ATDATA_CONFIG``, or that of this user."""
    given = os.environ.get("ATDATA_CONFIG")
    if given:
        return Path(given).expanduser()
    from platformdirs import user_config_path

    return user_config_path("atdata") / "config.toml"


def get(name: str) -> str | None:
    """The value of a setting, or None; see ``find``."""
    return find(name).value


def find(name: str) -> Value:
    """The value of a setting, and where it came from.

    Args:
        name: one of ``SETTINGS``.

    Raises:
        ConfigError: the file is damaged, has no such profile, or holds a secret; a ``ValueError``.
    """
    setting = SETTINGS[name]
    if given := os.environ.get(setting.variable):
        return Value(given, setting.variable)
    if name == "profile":
        return _profile_of(read(path()))
    if not setting.kept:
        return Value(None, "")
    content = read(path())
    chosen = _chosen(content)
    profiles = content.get("profiles", {})
    if chosen not in profiles:
        if chosen == DEFAULT:
            return Value(None, "")
        there = ", ".join(profiles) or "none"
        raise ConfigError(f"{path()} has no profile {chosen!r}; there is {there}")
    value = profiles[chosen].get(name)
    if value is None:
        return Value(None, "")
    check(name, value, f"profile {chosen!r} in {path()}")
    return Value(value, f"profile {chosen}")


def _chosen(content: Mapping[str, Any]) -> str:
    return os.environ.get(SETTINGS["profile"].variable) or _profile_of(content).value or DEFAULT


def _profile_of(content: Mapping[str, Any]) -> Value:
    return Value(content["profile"], str(path())) if "profile" in content else Value(DEFAULT, "")


def read(file: Path) -> dict[str, Any]:
    """What a file says, ``{}`` if there is none.

    Raises:
        ConfigError: it cannot be read, is not TOML, or holds something else than ``profile`` and ``profiles``.
    """
    import tomllib

    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # TOML or UTF-8
        raise ConfigError(f"{file} is not TOML: {error}") from error
    for key, value in content.items():
        if key not in ("profile", "profiles"):
            raise ConfigError(f"{file}: {key!r} is neither 'profile' nor 'profiles'; settings go below [profiles.NAME]")
        if key == "profile" and not isinstance(value, str):
            raise ConfigError(f"{file}: 'profile' is the name of one; found {value!r:.80}")
        if key == "profiles" and not (isinstance(value, dict) and all(isinstance(p, dict) for p in value.values())):
            raise ConfigError(f"{file}: profiles are tables, as in [profiles.lab]; found {value!r:.80}")
    return content


def check(name: str, value: object, where: str) -> None:
    """Refuse what a profile may not hold.

    Args:
        name: key of the setting.
        value: its value.
        where: what holds it, for messages.

    Raises:
        ConfigError: no such setting, no text, or a secret, which no message shows.
    """
    setting = SETTINGS.get(name)
    if setting is None and _SECRET.search(name):
        raise ConfigError(f"{where}: {name!r} looks like a secret, and the configuration holds none; {_INSTEAD}")
    if setting is None or not setting.kept:
        advice = f"set {setting.variable} instead" if setting else f"there is {', '.join(_kept())}"
        raise ConfigError(f"{where}: {name!r} is no setting of a profile; {advice}")
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigError(f"{where}: {name} is text; found {type(value).__name__}")
    if holds_secret(value):
        raise ConfigError(
            f"{where}: {name} is a URL with a password in it, and the configuration holds none; "
            f"leave the password out, or set {setting.variable} where it is needed"
        )


_INSTEAD: Final = "secrets are in the session file, in variables such as ATDATA_APP_PASSWORD, or in files as ~/.aws"


def _kept() -> list[str]:
    return [setting.name for setting in SETTINGS.values() if setting.kept]


def holds_secret(value: str) -> bool:
    """Whether a value is a URL with a password, or with a secret in its query."""
    try:
        parts = urlsplit(value)
        return parts.password is not None or any(_SECRET.search(key) for key, _ in parse_qsl(parts.query))
    except ValueError:  # no URL; what cannot be understood may hold anything
        return "@" in value


def shown(setting: Setting, value: str) -> str:
    """A value as it may be shown."""
    from .sources import public

    return "(set)" if setting.secret else public(value)
