"""How text becomes what a search finds: tokens, the same for every catalog."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .catalog import Term

# Of a long description no more words are found; the index would outgrow the data it describes.
MOST: Final = 500

_WORD: Final = re.compile(r"[^\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def words(text: str) -> list[str]:
    """The words of a text in lower case, without repetition; ``ImageSample`` is also ``image`` and ``sample``."""
    found = _WORD.findall(text) + _WORD.findall(_CAMEL.sub(" ", text))
    return list(dict.fromkeys(word.casefold() for word in found))[:MOST]


def entry_words(description: str | None, tags: Iterable[str], schema_ref: str) -> list[str]:
    """What finds an entry, beside its name: words, ``#tag`` for each tag, ``@...`` for its schema."""
    name = schema_ref.rpartition("/")[2]
    tags = list(tags)
    exact = [*(f"#{tag}" for tag in tags), f"@{schema_ref}", f"@{name}", f"@{name.partition('@')[0]}"]
    return list(dict.fromkeys([*words(f"{description or ''} {' '.join(tags)} {name.partition('@')[0]}"), *exact]))


def terms(text: str, tags: Iterable[str], schema: str | None) -> list[Term]:
    """What a search asks for: the beginnings of all words of a text, all tags, a schema by name or reference."""
    asked = [Term(word.casefold(), whole=False) for word in _WORD.findall(text)]
    asked += [Term(f"#{tag}", whole=True) for tag in tags]
    return asked + ([Term(f"@{schema}", whole=True)] if schema else [])
