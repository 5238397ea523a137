"""Writes the records that the publishers write into a folder, for other programs to check; and some that are wrong.

python lexicon_samples.py FOLDER
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

import atdata
from atdata.schema import Shape, schema_of
from atdata_atmosphere.kinds import new_record
from atdata_atmosphere.records import DATASET, LENS, SCHEMA, checked
from atdata_atmosphere.storage import external_storage, raw_cid

SCHEMA_URI = "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/ac.foundation.dataset.sampleSchema/3jzfcijpj2z2a"
CID = raw_cid("00" * 32)
METADATA: dict[str, Any] = {
    "numbers": [0.1, -0.0, 1e300, math.nan, math.inf, 2**80, 7],
    "bytes": b"\x00\xff",
    "$odd": {"$type": "not ours", "deep": [{"x": None}]},
    "text": "\N{SNOWMAN}",
}


@atdata.packable
class Sample:
    """All kinds of fields."""

    text: str
    number: int
    score: float
    yes: bool
    raw: bytes
    plain: NDArray[Any]
    typed: NDArray[np.float64]
    shaped: Annotated[NDArray[np.uint8], Shape(height=None, width=None, channels=3), "an image"]
    tags: list[str]
    nested: list[list[NDArray[np.float32]]]
    maybe: str | None = None
    rate: float = 0.5
    empty: bytes = b"\x00"


def records() -> dict[str, dict[str, Any]]:
    """Records by name."""
    facts = [{"digest": CID, "bytes": 10 * n, "samples": n} for n in range(10)]
    storage, size = external_storage(["https://data.example.org/a-{0..8}.tar", "s3://bucket/b.tar"], facts)
    blob = {"$type": "blob", "ref": {"$link": CID}, "mimeType": "application/x-tar", "size": 7}
    code = {"repository": "https://example.org/repo", "commit": "0" * 40, "path": "package.module:function"}
    dataset = {"name": "A", "schemaRef": SCHEMA_URI, "schemaCid": CID, "storage": storage, "size": size}
    lens = {"name": "L", "sourceSchema": SCHEMA_URI, "targetSchema": SCHEMA_URI}
    blobs = {"$type": "ac.foundation.dataset.storageBlobs", "blobs": [{"blob": blob, "samples": 3}]}
    good = {
        "schema": (SCHEMA, schema_of(Sample, version="1.2.3-rc.1+b", metadata=METADATA)),
        "dataset": (
            DATASET,
            dataset | {"description": "D", "tags": ["a", "b"], "license": "MIT", "metadata": METADATA},
        ),
        "dataset-least": (DATASET, {key: dataset[key] for key in ("name", "schemaRef", "storage")}),
        "dataset-blobs": (DATASET, dataset | {"storage": blobs}),
        "lens": (LENS, lens | {"sourceSchemaCid": CID, "getterCode": code, "putterCode": code, "metadata": METADATA}),
        "lens-one-way": (LENS, lens | {"getterCode": {"path": "package.module:function"}}),
    }
    made = {name: checked(collection, new_record(collection, given)) for name, (collection, given) in good.items()}
    wrong = {
        "schema-version": made["schema"] | {"version": 1},
        "dataset-storage": made["dataset"] | {"storage": {"$type": "ac.foundation.dataset.storageExternal"}},
        "dataset-uri": made["dataset"] | {"schemaRef": "https://example.org"},
        "lens-code": made["lens"] | {"getterCode": {"repository": "https://example.org/repo"}},
    }
    return made | {f"invalid-{name}": record for name, record in wrong.items()}


if __name__ == "__main__":
    for name, record in records().items():
        Path(sys.argv[1], f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
