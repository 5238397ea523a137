"""Datasets as lines of JSON."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atomic import Staging
from ..errors import SampleTypeError, ShardIsDirectory
from ..look.inspection import keyed
from ..progress import Progress, counted, known_total

if TYPE_CHECKING:
    from ..dataset import Dataset


def json_lines(dataset: Dataset[Any]) -> Iterator[str]:
    """Each sample as one line, an object of its fields, without the line's end.

    Arrays are nested lists, complex numbers pairs, times text and bytes base64. JSON has no NaN and no infinity: they
    are null, as None is.

    Raises:
        SampleTypeError: a value that has no form in JSON; names the field.
        AtdataError: the dataset cannot be read.
    """
    for _, values in keyed(dataset):
        yield _line(dataset.sample_type.__name__, values)


def to_jsonl(dataset: Dataset[Any], path: str | os.PathLike[str], *, progress: Progress = None) -> Path:
    """Write a dataset to a file of JSON lines, which appears whole or not at all and replaces one of that name.

    Args:
        dataset: the dataset.
        path: the file.
        progress: told how many samples are written; see ``atdata.progress``.

    Raises:
        SampleTypeError: a value that has no form in JSON; names the field.
        AtdataError: the dataset cannot be read.
    """
    target = Path(path)
    if target.is_dir():
        raise ShardIsDirectory(f"{target} is a folder; name a file in it, such as {target / 'data.jsonl'}")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Staging(target.parent)
    try:
        with open(staging.create(target.name), "w", encoding="utf-8", newline="\n") as file:
            for line in counted(json_lines(dataset), progress, lambda: known_total(dataset)):
                file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        staging.publish(target.name, overwrite=True)
        staging.sync()
    finally:
        staging.discard()
    return target


def _line(owner: str, values: Mapping[str, Any]) -> str:
    made = {}
    for name, value in values.items():
        try:
            made[name] = _plain(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise SampleTypeError(f"{owner}.{name} has no form in JSON: {error}", field=name) from error
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, np.ndarray | np.generic):
        return _numbers(np.asarray(value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    raise TypeError(f"found {type(value).__name__}")


def _numbers(array: np.ndarray[Any, Any]) -> Any:
    kind = array.dtype.kind
    if kind == "c":
        return _numbers(np.stack([array.real, array.imag], axis=-1))
    if kind in "mM":
        return array.astype(str).tolist()
    if kind in "biuU" or (kind == "f" and np.isfinite(array).all()):
        return array.tolist()
    if kind in "fS":
        return _plain(array.tolist())
    raise TypeError(f"arrays of dtype {array.dtype} are no numbers, text or times")
