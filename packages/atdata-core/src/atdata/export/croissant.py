"""Datasets as Croissant 1.0: JSON-LD by which search engines and other libraries know what a dataset holds.

The specification is at http://mlcommons.org/croissant/1.0.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import numpy as np

from ..copying import Original, originals
from ..errors import SchemaError
from ..sample import DictSample
from ..schema import schema_of
from ..schema.kinds import kind_of, text_of
from ..sources import public
from ..sources.url import path_of

if TYPE_CHECKING:
    from ..dataset import Dataset

VERSION: Final = "http://mlcommons.org/croissant/1.0"

# The words that the specification's own context gives a short form
_WORDS: Final = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{word: f"cr:{word}" for word in _WORDS},
}
_TYPES: Final = {"str": "sc:Text", "int": "sc:Integer", "float": "sc:Float", "bool": "sc:Boolean", "bytes": "sc:Text"}
_KINDS: Final = {"b": "sc:Boolean", "i": "sc:Integer", "u": "sc:Integer", "f": "sc:Float", "M": "sc:DateTime"}
_FILES: Final = "sample-files"
_RECORDS: Final = "samples"


class About(NamedTuple):
    """What Croissant wants to know of a dataset and its shards do not tell.

    Attributes:
        name: its name.
        description: what it holds.
        license: URL or SPDX identifier of its license.
        url: its page.
        creator: who made it.
        published: the day.
        version: a semantic version.
        cite_as: how to cite it, in BibTeX; may be empty.
    """

    name: str
    description: str
    license: str
    url: str
    creator: str
    published: datetime.date
    version: str = "1.0.0"
    cite_as: str = ""


def to_croissant(
    dataset: Dataset[Any], about: About, *, beside: Path | None = None, base_url: str = ""
) -> dict[str, Any]:
    """A dataset as Croissant. Shards whose digest no manifest knows are read for it.

    Other libraries read of each sample its key and its bytes, which are msgpack; its fields are described.

    Args:
        dataset: the dataset.
        about: what its shards do not tell.
        beside: the folder in which the description will lie; paths of shards are relative to it.
        base_url: URL of the folder where the shards of this machine are for others.

    Raises:
        SchemaError: something is missing that Croissant requires; says what.
        AtdataError: a shard cannot be read.
    """
    missing = [name for name, value in about._asdict().items() if not value and name != "cite_as"]
    if missing:
        raise SchemaError(f"Croissant requires {', '.join(missing)} of a dataset; say it")
    files = [*_told_apart([_file(shard, beside, base_url) for shard in originals(dataset)])]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": about.name,
        "description": about.description,
        "license": about.license if "://" in about.license else f"https://spdx.org/licenses/{about.license}.html",
        "url": about.url,
        "creator": {"@type": "sc:Person", "name": about.creator},
        "datePublished": about.published.isoformat(),
        "version": about.version,
        **({"citeAs": about.cite_as} if about.cite_as else {}),
        "distribution": [
            *files,
            {
                "@type": "cr:FileSet",
                "@id": _FILES,
                "name": _FILES,
                "description": "One msgpack map per sample; arrays in it are bytes in the .npy format.",
                "containedIn": [{"@id": file["@id"]} for file in files],
                "encodingFormat": "application/vnd.msgpack",
                "includes": "*.msgpack",
            },
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": _RECORDS, "name": _RECORDS, "field": [*_fields(dataset)]}],
    }


def _file(shard: Original, beside: Path | None, base_url: str) -> dict[str, Any]:
    size, sha256 = _digest(shard)
    path = path_of(shard.source, shard.shard_id)
    url = public(shard.shard_id)
    name = url.rpartition("/")[2] if path is None else path.name
    if path is not None:
        near = os.path.relpath(path, beside) if beside is not None else path.name
        url = f"{base_url.rstrip('/')}/{quote(path.name)}" if base_url else Path(near).as_posix()
    return {
        "@type": "cr:FileObject",
        "name": name,
        "contentUrl": url,
        "contentSize": f"{size} B",
        "encodingFormat": "application/x-tar",
        "sha256": sha256,
    }


def _told_apart(files: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The files, each with an identifier of its own: its name, or where shards share that, its URL."""
    names, urls = (Counter(file[key] for file in files) for key in ("name", "contentUrl"))
    for file in files:
        if urls[file["contentUrl"]] > 1:
            raise SchemaError(
                f"several shards would be at {file['contentUrl']!r}; join them first: atdata.reshape.join"
            )
        yield file | {"@id": file["name"] if names[file["name"]] == 1 else file["contentUrl"]}


def _digest(shard: Original) -> tuple[int, str]:
    if shard.facts is not None:
        return shard.facts.bytes, shard.facts.sha256
    digest, size = hashlib.sha256(), 0
    with shard.source.open_shard(shard.shard_id) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _fields(dataset: Dataset[Any]) -> Iterator[dict[str, Any]]:
    key = {"extract": {"fileProperty": "filename"}, "transform": {"regex": r"(.*)\.msgpack$"}}
    yield _field("key", "sc:Text", "Key of the sample, unique in its shard.", key)
    yield _field("content", "sc:Text", "The sample: a msgpack map.", {"extract": {"fileProperty": "content"}})
    if issubclass(dataset.sample_type, DictSample):
        return
    for field in schema_of(dataset.sample_type)["fields"]:
        name, field_type = field["name"], field["fieldType"]
        text = text_of(field_type) + (" or None" if field["optional"] else "")
        description = f"{field['description']} ({text})" if field.get("description") else text
        source = {"extract": {"fileProperty": "content"}, "transform": {"jsonPath": f"$.{name}"}}
        repeated = {} if kind_of(field_type) == "primitive" else {"repeated": True}
        yield _field(f"content/{name}", _data_type(field_type), f"In the map: {description}", source) | repeated


def _field(name: str, data_type: str, description: str, source: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{_RECORDS}/{name}",
        "name": name,
        "description": description,
        "dataType": data_type,
        "source": {"fileSet": {"@id": _FILES}, **source},
    }


def _data_type(field_type: Mapping[str, Any]) -> str:
    if kind_of(field_type) == "array":
        return _data_type(field_type["items"])
    if kind_of(field_type) == "ndarray":
        return _KINDS.get(np.dtype(field_type["dtype"]).kind, "sc:Text")
    return _TYPES[field_type["primitive"]]
