"""Lines of JSON and Croissant: what other programs read of a dataset."""

import datetime
import hashlib
import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata
from atdata.errors import SampleTypeError, SchemaError, ShardIsDirectory
from atdata.export.croissant import VERSION, About, to_croissant
from atdata.export.jsonl import json_lines, to_jsonl
from atdata.ingest import open_rows, write_rows


@atdata.packable
class Every:
    """All kinds of fields."""

    text: str
    number: float
    raw: bytes
    words: list[str]
    image: NDArray[np.uint8]
    wave: NDArray[np.complex64]
    time: NDArray[np.datetime64]
    score: NDArray[np.float32] | None = None


EVERY = Every(
    text="a\n\u2028é",
    number=math.nan,
    raw=b"\x00\xff",
    words=["a", "b"],
    image=np.arange(4, dtype=np.uint8).reshape(2, 2),
    wave=np.array([1 + 2j], np.complex64),
    time=np.array("2024-01-01", "M8[D]"),
    score=np.array([1.5, math.inf], np.float32),
)


@pytest.fixture
def dataset(tmp_path):
    return atdata.write_samples([EVERY] * 3, tmp_path / "data.tar", maxcount=2)


def test_lines_of_json(dataset):
    lines = [*json_lines(dataset)]
    assert len(lines) == 3
    assert "\n" not in lines[0]
    assert json.loads(lines[0]) == {
        "text": "a\n\u2028é",
        "number": None,
        "raw": "AP8=",
        "words": ["a", "b"],
        "image": [[0, 1], [2, 3]],
        "wave": [[1.0, 2.0]],
        "time": "2024-01-01",
        "score": [1.5, None],
    }


def test_without_a_class_arrays_are_arrays(dataset, tmp_path):
    untyped = atdata.Dataset(dataset.list_shards())
    assert json.loads(next(json_lines(untyped)))["image"] == [[0, 1], [2, 3]]


def test_a_file_appears_whole_and_is_read_back(tmp_path):
    @atdata.packable
    class Row:
        n: int
        vector: NDArray[np.float32]

    rows = [Row(n=n, vector=np.full(n, n, np.float32)) for n in range(3)]
    dataset = atdata.write_samples(rows, tmp_path / "data.tar")
    told = []
    path = to_jsonl(dataset, tmp_path / "new" / "rows.jsonl", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)
    assert [entry.name for entry in path.parent.iterdir()] == ["rows.jsonl"]
    assert list(write_rows(open_rows(path), tmp_path / "back", Row)) == rows
    to_jsonl(dataset, path)  # replaces it
    with pytest.raises(ShardIsDirectory, match=r"data.jsonl"):
        to_jsonl(dataset, tmp_path)


def test_what_has_no_form_in_json_is_named_and_leaves_the_old_file(tmp_path):
    dataset = atdata.write_samples([{"records": np.zeros(2, [("a", "i4")])}], tmp_path / "data.tar")
    path = tmp_path / "rows.jsonl"
    path.write_text("old")
    with pytest.raises(SampleTypeError, match=r"records has no form in JSON: arrays of dtype") as caught:
        to_jsonl(dataset, path)
    assert caught.value.field == "records"
    assert path.read_text() == "old"


ABOUT = About(
    name="every",
    description="All kinds of fields",
    license="CC0-1.0",
    url="https://example.org/every",
    creator="A. Lee",
    published=datetime.date(2024, 5, 1),
)


def test_croissant_has_what_its_specification_requires(dataset, tmp_path):
    made = to_croissant(dataset, ABOUT, beside=tmp_path)
    for key in ("@context", "@type", "name", "description", "license", "url", "creator", "datePublished"):
        assert made[key]
    assert made["conformsTo"] == VERSION
    assert made["license"] == "https://spdx.org/licenses/CC0-1.0.html"
    *shards, members = made["distribution"]
    for shard, path in zip(shards, sorted(tmp_path.glob("*.tar")), strict=True):
        data = path.read_bytes()
        assert shard["contentUrl"] == path.name
        assert shard["sha256"] == hashlib.sha256(data).hexdigest()
        assert shard["contentSize"] == f"{len(data)} B"
    assert members["containedIn"] == [{"@id": shard["@id"]} for shard in shards]
    (records,) = made["recordSet"]
    types = {field["name"]: (field["dataType"], field.get("repeated", False)) for field in records["field"]}
    assert types == {
        "key": ("sc:Text", False),
        "content": ("sc:Text", False),
        "content/text": ("sc:Text", False),
        "content/number": ("sc:Float", False),
        "content/raw": ("sc:Text", False),
        "content/words": ("sc:Text", True),
        "content/image": ("sc:Integer", True),
        "content/wave": ("sc:Text", True),
        "content/time": ("sc:DateTime", True),
        "content/score": ("sc:Float", True),
    }


def test_croissant_of_what_no_manifest_knows_reads_the_shards(dataset, tmp_path):
    known = to_croissant(dataset, ABOUT)
    (tmp_path / "manifest.json").unlink()
    assert to_croissant(atdata.Dataset[Every](dataset.list_shards()), ABOUT) == known


def test_croissant_names_shards_where_others_find_them(dataset, tmp_path):
    made = to_croissant(dataset, ABOUT, base_url="https://example.org/data/")
    assert made["distribution"][0]["contentUrl"] == "https://example.org/data/data-000000.tar"
    made = to_croissant(dataset, ABOUT, beside=tmp_path / "below")
    assert made["distribution"][0]["contentUrl"] == "../data-000000.tar"


def test_croissant_tells_shards_of_one_name_apart(dataset, tmp_path):
    paths = [Path(path) for path in dataset.list_shards()[:1]]
    other = tmp_path / "more" / paths[0].name
    other.parent.mkdir()
    other.write_bytes(paths[0].read_bytes())
    both = atdata.Dataset[Every]([*paths, other])
    *shards, members = to_croissant(both, ABOUT, beside=tmp_path)["distribution"]
    assert [shard["@id"] for shard in shards] == ["data-000000.tar", "more/data-000000.tar"]
    assert members["containedIn"] == [{"@id": shard["@id"]} for shard in shards]
    with pytest.raises(SchemaError, match=r"several shards would be at .*/data-000000\.tar'; join them"):
        to_croissant(both, ABOUT, base_url="https://example.org/data")


def test_croissant_says_what_is_missing(dataset):
    with pytest.raises(SchemaError, match="requires license, creator of"):
        to_croissant(dataset, ABOUT._replace(license="", creator=""))


VALIDATE = """
import sys
import mlcroissant

dataset = mlcroissant.Dataset(sys.argv[1])
assert not dataset.metadata.ctx.issues.errors, dataset.metadata.ctx.issues.report()
for record in dataset.records("samples"):
    print(record["samples/key"].decode(), record["samples/content"].hex())
"""


@pytest.mark.skipif(not find_spec("mlcroissant"), reason="mlcroissant is not installed")
def test_the_reference_library_takes_it_and_reads_the_samples(dataset, tmp_path):
    file = tmp_path / "croissant.json"
    file.write_text(json.dumps(to_croissant(dataset, ABOUT._replace(cite_as="@misc{every}"), beside=tmp_path)))
    done = subprocess.run([sys.executable, "-c", VALIDATE, str(file)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    read = [Every.from_bytes(bytes.fromhex(line.split()[1])) for line in done.stdout.splitlines()]
    assert read == [EVERY] * 3
