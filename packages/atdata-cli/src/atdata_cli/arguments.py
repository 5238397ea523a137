"""Arguments that several commands take, and what they stand for."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from atdata import Dataset

AsJSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Overwrite: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace shards of the same names.")]
MaxCount: TypeAlias = Annotated[int | None, typer.Option(min=1, help="At most so many samples per shard.")]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def size(text: str) -> int:
    """Bytes, from ``500MB``, ``1GiB`` or a number of them."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no size such as 500MB or 1GiB")
    number, unit, binary = found.groups()
    factor: int = (1024 if binary else 1000) ** " kmgt".index(unit.lower() or " ")
    if (count := round(float(number) * factor)) < 1:
        raise typer.BadParameter("a size is at least one byte")
    return count


SIZE: Any = typer.Option(parser=size, metavar="SIZE", help="At most so many bytes per shard, as in 500MB.")
MaxSize: TypeAlias = Annotated[int, SIZE]
# What shards have at most where nobody says; their sizes stay far below what stores and networks take.
MAXSIZE = "1GiB"


def anywhere(where: str) -> str:
    """What a person names, such that it means the same in every folder."""
    from atdata.sources.url import scheme_of
    from atdata.uri import is_reference

    return where if is_reference(where) or scheme_of(where) or "::" in where else os.path.abspath(where)


def described(dataset: Dataset[Any]) -> dict[str, Any]:
    """A dataset that was made, for ``--json``."""
    from atdata.sources import public

    return {
        "type": dataset.sample_type.__name__,
        "shards": [public(shard) for shard in dataset.list_shards()],
        "samples": dataset.num_samples,
    }
