"""Refuses changes of the lexicons that break records or programs which know the last release.

Records live in the repositories of others and are never rewritten, so what is published stays as it is: fields may be
added if they are optional, unions may get members, descriptions may change. Nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LEXICONS = Path(__file__).parents[1]
_TAGS = "atdata-atmosphere-v*"


def breaking(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What of a new set of lexicons breaks an old one.

    Args:
        old: lexicon documents by id.
        new: the same, as they are now.
    """
    return _names(old, new, "")


def _names(old: Mapping[str, Any], new: Mapping[str, Any], where: str) -> list[str]:
    found = [f"{where}{name} is gone" for name in old if name not in new]
    return found + [line for name in old if name in new for line in _changes(old[name], new[name], f"{where}{name}")]


def _changes(old: Any, new: Any, where: str) -> list[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [f"{where} was {old!r} and is {new!r}"]
    found: list[str] = []
    for key in sorted(old.keys() | new.keys() - {"description", "revision"}):
        a, b, here = old.get(key), new.get(key), f"{where}.{key}"
        if key == "description":
            continue
        if key in ("defs", "properties"):
            found += _names(a or {}, b or {}, f"{here}.")
        elif key in ("refs", "knownValues"):
            gone, come = set(a or ()) - set(b or ()), set(b or ()) - set(a or ())
            found += [f"{here} has lost {name}" for name in sorted(gone)]
            found += [f"{here} is closed and has got {name}" for name in sorted(come) if old.get("closed")]
        elif key == "required":
            found += _changes(sorted(a or ()), sorted(b or ()), here)
        else:
            found += _changes(a, b, here)
    return found


def current() -> dict[str, Any]:
    """The lexicons as they are now, by id."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in LEXICONS.glob("ac/**/*.json")]
    return {document["id"]: document for document in documents}


def released() -> tuple[str, dict[str, Any]] | None:
    """The last release and its lexicons, by id; None before the first."""
    tags = _git("tag", "--list", _TAGS, "--sort=-v:refname").split()
    if not tags:
        return None
    files = _git("ls-tree", "-r", "--name-only", tags[0], "ac").split()
    documents = [json.loads(_git("show", f"{tags[0]}:./{name}")) for name in files if name.endswith(".json")]
    return tags[0], {document["id"]: document for document in documents}


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=LEXICONS, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    last = released()
    if last is None:
        print("no release yet: every change is allowed")
        sys.exit(0)
    lines = breaking(last[1], current())
    for line in lines:
        print(line)
    print(f"{len(lines)} changes break {last[0]}")
    sys.exit(bool(lines))
