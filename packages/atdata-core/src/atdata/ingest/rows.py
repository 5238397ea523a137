"""What all data from elsewhere have in common: rows, and names that Python takes."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from ..errors import RowError
from ..sample import MEMBERS


class Row(NamedTuple):
    """A row.

    Attributes:
        where: its place, for messages.
        values: its values by the names of their fields.
    """

    where: str
    values: Mapping[str, Any]


class Rows(Protocol):
    """Rows that can be read once, after ``fields`` was called or not.

    Attributes:
        count: how many there are, or None where nobody knows yet.
        text: whether all values are text, from which they have to be parsed.
    """

    count: int | None
    text: bool

    def fields(self) -> list[dict[str, Any]]:
        """The fields of a schema record that the rows fit; the others of its keys are the caller's.

        Raises:
            RowError: no type of field fits the values of a column; names it.
        """
        ...

    def __iter__(self) -> Iterator[Row]: ...


@lru_cache(maxsize=4096)
def field_name(column: str) -> str:
    """What a column is called as a field: ``Sepal length (cm)`` is ``Sepal_length_cm``."""
    # some letters and numbers are none of a name in Python, circled ones for example
    usable = (letter if f"_{letter}".isidentifier() else " " for letter in unicodedata.normalize("NFKC", column))
    name = re.sub(r"\W+", "_", "".join(usable)).strip("_")
    if not name.isidentifier():
        name = f"column_{name}".rstrip("_")
    return f"{name}_" if keyword.iskeyword(name) or name in MEMBERS else name


def field_names(columns: Iterable[str], where: str) -> list[str]:
    """What columns are called as fields.

    Raises:
        RowError: two have one name.
    """
    given: dict[str, str] = {}
    for column in columns:
        name = field_name(column)
        if name in given:
            raise RowError(f"{where}: the columns {given[name]!r:.80} and {column!r:.80} are both {name!r}; rename one")
        given[name] = column
    return list(given)


def type_name(text: str) -> str:
    """What a sample type is called after something: ``iris-2024`` is ``Iris2024``."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text))
    name = unicodedata.normalize("NFKC", "".join(word[0].upper() + word[1:] for word in words))  # some capitals are two
    return name if name.isidentifier() and not keyword.iskeyword(name) else "Sample"
