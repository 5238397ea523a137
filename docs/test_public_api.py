"""Every public name and its parameters stand in public-api.txt, so that none comes, goes or changes by accident.

``python docs/test_public_api.py`` writes the file anew; its difference is part of the change.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

LIST = Path(__file__).with_name("public-api.txt")
MODULES = [
    "atdata",
    "atdata.cid",
    "atdata.config",
    "atdata.errors",
    "atdata.ingest",
    "atdata.plugins",
    "atdata.protocols",
    "atdata.schema",
    "atdata.testing",
    "atdata.uri",
    "atdata_atmosphere",
    "atdata_atmosphere.promote",
    "atdata_local",
]


def public_names(module: str) -> list[str]:
    """What a module says is public, else what it defines under a public name."""
    loaded = importlib.import_module(module)
    defined = [name for name, value in vars(loaded).items() if getattr(value, "__module__", None) == module]
    return sorted(getattr(loaded, "__all__", None) or [name for name in defined if not name.startswith("_")])


def _parameters(value: object) -> str:
    try:
        parameters = inspect.signature(value).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    names: list[str] = []
    star = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            names.append("*")
        star = star or parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY)
        prefix = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        names.append(f"{prefix}{parameter.name}" + ("=" if parameter.default is not parameter.empty else ""))
    return f"({', '.join(names)})"


def _members(name: str, value: object) -> Iterator[str]:
    if inspect.isclass(value):
        yield f"class {name}({', '.join(base.__name__ for base in value.__bases__ if base is not object)})"
        for member in sorted(dir(value)):
            ours = any(member in vars(base) and base.__module__.startswith("atdata") for base in value.__mro__)
            if ours and (not member.startswith("_") or (member == "__init__" and not issubclass(value, BaseException))):
                attribute = inspect.getattr_static(value, member)
                function = getattr(value, member) if not isinstance(attribute, property) else None
                yield f"{name}.{member}{_parameters(function) if callable(function) else ''}"
    else:
        yield f"{name}{_parameters(value) if callable(value) else ''}"


def listing() -> str:
    lines: list[str] = []
    for module in MODULES:
        for name in public_names(module):
            lines += _members(f"{module}.{name}", getattr(importlib.import_module(module), name))
    return "\n".join(lines) + "\n"


def test_the_public_api_is_what_is_listed() -> None:
    found = listing()
    listed = LIST.read_text(encoding="utf-8") if LIST.exists() else ""
    change = "\n".join(difflib.unified_diff(listed.splitlines(), found.splitlines(), "listed", "found", lineterm=""))
    assert not change, f"{change}\n\nIf that is meant, write the list anew: python docs/test_public_api.py"


if __name__ == "__main__":
    LIST.write_text(listing(), encoding="utf-8")
