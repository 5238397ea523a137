"""Rows into samples of a type: one that was inferred, or the user's own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from ..codecs import Codec, WrongValue, found
from ..dataset import Dataset
from ..errors import AtdataError, RowError, SampleTypeError
from ..fields import Field
from ..progress import Progress, counted
from ..sample import PackableSample, plan_of
from ..schema import type_of
from ..write import ShardWriter
from .rows import Rows

T = TypeVar("T")

_TRUTHS = {"true": True, "false": False, "1": True, "0": False}


def type_for(rows: Rows, name: str) -> type[PackableSample]:
    """A sample type that rows fit.

    Files are read to their end for that. Of what can be read only once, as the standard input, the first 10,000 rows
    decide; ``write_rows`` refuses a later one that does not fit.

    Args:
        rows: the rows.
        name: name of the type.

    Raises:
        RowError: no field type fits the values of a column; names it.
        SchemaError: more columns than a schema has.
    """
    fields = rows.fields()
    if not fields:
        raise RowError("there are no columns, and so nothing to make samples of")
    return type_of({"name": name, "version": "1.0.0", "fields": fields})


def write_rows(
    rows: Rows,
    path: str | os.PathLike[str],
    sample_type: type[T],
    *,
    whole: bool = True,
    maxcount: int | None = None,
    maxsize: int | None = None,
    overwrite: bool = False,
    progress: Progress = None,
) -> Dataset[T]:
    """Write rows as samples; all of them or, after an exception, none.

    Args:
        rows: the rows.
        path: as for ``ShardWriter``.
        sample_type: the type of the samples.
        whole: refuse rows with columns that the type has no field for; else these are left out.
        maxcount: at most so many samples per shard.
        maxsize: at most so many bytes per shard, unless a single sample is larger.
        overwrite: replace shards of the same names.
        progress: told how many samples are written; see ``atdata.progress``.

    Raises:
        RowError: a row is no sample of that type; names its place and column.
        EmptyDataset: there are no rows.
        ShardExists: there is a shard of that name and ``overwrite`` is not set.
    """
    with ShardWriter(path, sample_type, maxcount=maxcount, maxsize=maxsize, overwrite=overwrite) as writer:
        for sample in counted(_samples(rows, sample_type, whole), progress, lambda: rows.count):
            writer.write(sample)
    return writer.dataset


def _samples(rows: Rows, sample_type: type[T], whole: bool) -> Iterator[T]:
    fields = plan_of(sample_type).by_name
    for where, values in rows:
        if whole and (strange := next((name for name in values if name not in fields), None)) is not None:
            raise RowError(f"{where} has a column {strange!r:.80}, which the rows before had not; {_ADVICE}")
        made = {}
        for name, field in fields.items():
            if name in values:
                made[name] = _fitted(field, values[name], rows.text, where)
            elif field.required:
                if not field.optional:
                    raise RowError(
                        f"{where} has no {name!r}, which {sample_type.__name__} needs; it has {_few(values)}"
                    )
                made[name] = None
        try:
            yield sample_type(**made)
        except (TypeError, ValueError) as error:  # code of the user's may run when a sample is made
            raise RowError(f"{where} is no {sample_type.__name__}: {error}") from error


_ADVICE = "give a --type that says what there can be, or read it from a file, of which every row is looked at first"


def _few(values: Any) -> str:
    return ", ".join(f"{name:.80}" for name in list(values)[:12]) or "nothing"


def _fitted(field: Field, value: Any, text: bool, where: str) -> Any:
    """A value of a row as one of a field."""
    if value is None or (text and value == "" and field.codec.kind != "str"):
        if field.optional:
            return None
        raise RowError(f"{where}: {field.name} is missing, and {field.text} has to be there; {_ADVICE}")
    try:
        made = _parsed(field.codec, value) if text else _converted(field.codec, value)
        field.codec.pack(made)
    except (WrongValue, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        shown = f"{value!r:.80}" if isinstance(value, str | int | float | bool) else found(value)
        reason = f" ({error})" if isinstance(error, WrongValue | AtdataError) and str(error) else ""
        raise RowError(f"{where}: {field.name} is {shown}, and not {field.text}{reason}; {_ADVICE}") from None
    return made


def _parsed(codec: Codec, text: str) -> Any:
    """A value from a cell of a table of text."""
    kind = codec.kind
    if kind in ("str", "any"):
        return text
    if kind == "bool":
        return _TRUTHS[text.lower()] if text.lower() in _TRUTHS else _wrong()
    if kind in ("int", "float"):
        if "_" in text:  # which Python takes for a separator
            raise WrongValue
        return int(text) if kind == "int" else float(text)
    if kind == "bytes":
        raise WrongValue("text holds no bytes")
    return _converted(codec, json.loads(text))


def _wrong() -> Any:
    raise WrongValue


def _converted(codec: Codec, value: Any) -> Any:
    """A value as JSON or a table of values has it, as one that a field holds: lists become arrays where those are."""
    if codec.kind == "array" and not isinstance(value, np.ndarray):
        if isinstance(value, str | bytes):
            raise WrongValue
        return _array(value, codec.dtype)
    if codec.kind == "list" and codec.item is not None and isinstance(value, list):
        inner = codec.item
        return [item if item is None and inner.optional else _converted(inner, item) for item in value]
    return value


def _array(value: Any, dtype: np.dtype[Any] | None) -> np.ndarray[Any, Any]:
    """An array of numbers in lists, if a dtype can hold all of them."""
    made = np.asarray(value)
    if made.dtype.hasobject:
        raise SampleTypeError("it holds something else than numbers")
    if dtype is None or not made.size:
        return made.astype(dtype or np.float32)
    if made.dtype.kind in "iu" and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if made.min() < limits.min or made.max() > limits.max:
            raise SampleTypeError(f"{dtype} holds {limits.min} to {limits.max}")
    elif not np.can_cast(made.dtype, dtype, "same_kind"):
        raise SampleTypeError(f"{made.dtype} does not become {dtype}")
    with np.errstate(over="raise"):
        return made.astype(dtype)
