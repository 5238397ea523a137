"""Pages that the site makes: the reference of every public name, of the lexicons and of the commands."""

from __future__ import annotations

import sys
from pathlib import Path

import mkdocs_gen_files

# Where people look for what. A module stands for its public names.
REFERENCE = {
    "samples": ("Samples and batches", "atdata", ["packable", "PackableSample", "DictSample", "SampleBatch"]),
    "datasets": (
        "Datasets",
        "atdata",
        [
            *("Dataset", "DatasetDict", "SampleStream", "load_dataset", "write_samples", "ShardWriter"),
            *("export.torch.TensorLoader", "export.numpy.ArrayLoader"),
        ],
    ),
    "lenses": ("Lenses", "atdata", ["lens", "Lens", "LensNetwork"]),
    "looking": (
        "Looking at datasets",
        "atdata",
        [
            *("inspect", "look.inspection.Inspection", "look.inspection.FieldFacts", "look.inspection.ShardState"),
            *("stats", "look.statistics.Statistics", "look.statistics.FieldStatistics"),
            *("look.moments.Numbers", "look.moments.Histogram"),
            *("validate", "look.validation.Validation", "look.validation.ShardReport", "look.validation.Problem"),
            *("compare", "look.comparison.Comparison", "look.comparison.Difference"),
        ],
    ),
    "making": (
        "Making datasets",
        "atdata",
        [
            *("ingest.open_rows", "ingest.type_for", "ingest.write_rows", "ingest.Rows", "ingest.Row"),
            *("reshape.reshard", "reshape.join", "reshape.split", "copying.copy_shards", "copying.originals"),
            *("export.jsonl.to_jsonl", "export.jsonl.json_lines", "export.croissant.to_croissant"),
            *("export.croissant.About", "schema.named.record_at", "schema.named.load_type"),
        ],
    ),
    "config": ("Configuration", "atdata.config", []),
    "sources": ("Sources", "atdata", ["URLSource", "S3Source"]),
    "protocols": (
        "Protocols",
        "atdata",
        ["Packable", "IndexEntry", "AbstractIndex", "AbstractDataStore", "DataSource"],
    ),
    "schema": ("Schemas", "atdata.schema", []),
    "uri": ("References", "atdata.uri", []),
    "cid": ("Content identifiers", "atdata.cid", []),
    "errors": ("Errors", "atdata.errors", []),
    "plugins": ("Plugins", "atdata.plugins", []),
    "testing": ("Testing", "atdata.testing", []),
    "local": ("atdata.local", "atdata_local", []),
    "atmosphere": ("atdata.atmosphere", "atdata_atmosphere", []),
}

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import commands  # noqa: E402
import lexicons  # noqa: E402
from test_public_api import public_names  # noqa: E402

for page, (title, module, names) in REFERENCE.items():
    names = names or public_names(module)
    with mkdocs_gen_files.open(f"reference/{page}.md", "w") as file:
        file.write(f"# {title}\n\n" + "".join(f"::: {module}.{name}\n\n" for name in names))

with mkdocs_gen_files.open("reference/lexicons.md", "w") as file:
    file.write(lexicons.page())

with mkdocs_gen_files.open("reference/commands.md", "w") as file:
    file.write(commands.page())
