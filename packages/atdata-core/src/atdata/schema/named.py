"""Schemas and sample types by what a person types: a class, a dataset, a file."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from functools import reduce
from pathlib import Path
from typing import Any

from ..errors import NoSampleType, SchemaError
from ..sample import PackableSample
from ..sources.url import scheme_of
from ..uri import LOCAL, AtUri, DatasetRef, SchemaRef, is_reference, parse
from .check import check_record
from .json_schema import from_json_schema
from .record import schema_of

_CLASS = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")


def load_type(text: str) -> type[PackableSample]:
    """The sample type ``module:Class``. The module is imported, from the current folder too, so its code runs.

    Give it only what the user typed.

    Raises:
        NoSampleType: there is no such module or class, or it is no sample type; a ``TypeError`` and a ``ValueError``.
    """
    if not _CLASS.fullmatch(text):
        raise NoSampleType(f"{text!r:.120} names no class; write it as package.module:Class")
    module_name, _, name = text.partition(":")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        found: Any = reduce(getattr, name.split("."), importlib.import_module(module_name))
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise NoSampleType(
            f"{text!r} names no class: there is no module {error.name!r}, neither installed nor in {here}"
        ) from error
    except AttributeError as error:
        raise NoSampleType(f"{text!r} names no class: {error}") from error
    finally:
        sys.path.remove(here)
        if here not in sys.path:
            sys.path.append(here)  # for what the module imports later; no file here shadows a library then
    if not (isinstance(found, type) and issubclass(found, PackableSample)):
        raise NoSampleType(f"{text} is no sample type; put @atdata.packable above its class statement")
    return found


def record_at(text: str) -> dict[str, Any] | None:
    """The schema record of what a person names, or None for the name of a schema, for which an index is asked.

    Args:
        text: ``module:Class``, which is imported; a path, pattern, URL or reference of a dataset; a file of a schema
            record or of its JSON Schema; a reference to a schema on the network. A path has a slash or a dot in it.

    Raises:
        SchemaError: a dataset or file that tells no schema.
        AtdataError, OSError: there is no such thing, or it cannot be read.
    """
    if _CLASS.fullmatch(text):
        return schema_of(load_type(text))
    if is_reference(text):
        ref = parse(text)
        if isinstance(ref, SchemaRef) and ref.authority == LOCAL:
            return None
        return _indexed(ref, text)
    if not scheme_of(text) and "/" not in text and os.sep not in text and not re.search(r"\.(tar|json)\b|^\.", text):
        return None
    if text.endswith(".json") and not text.endswith("manifest.json") and not scheme_of(text):
        return _from_file(Path(text))
    return _of_dataset(text)


def _indexed(ref: Any, text: str) -> dict[str, Any]:
    from .. import plugins

    local = isinstance(ref, DatasetRef) and ref.authority == LOCAL
    index: Any = plugins.get("atdata.indexes", "local" if local else "atmosphere")()
    name = ref.name if isinstance(ref, DatasetRef) and local else text
    is_dataset = isinstance(ref, DatasetRef) or (isinstance(ref, AtUri) and not ref.collection.endswith("Schema"))
    record: dict[str, Any] = index.get_schema(index.get_dataset(name).schema_ref if is_dataset else text)
    return record


def _from_file(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SchemaError(f"{path} is not JSON: {error}") from error
    if isinstance(record, dict) and "$schema" in record:
        return from_json_schema(record)
    check_record(record)
    return dict(record)


def _of_dataset(text: str) -> dict[str, Any]:
    from ..copying import originals
    from ..load import load_dataset
    from ..sample import DictSample

    dataset: Any = load_dataset(text, split="all")
    if dataset.sample_type is DictSample:
        raise SchemaError(f"nothing tells the schema of {text}: it has no manifest, or its shards have several")
    own = next(iter(originals(dataset)[0].schemas.values()), None)
    return own or schema_of(dataset.sample_type)
