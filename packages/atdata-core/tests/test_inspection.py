"""``inspect``: what is told of a dataset that is not read whole, and needs no class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import atdata


@atdata.packable
class Digit:
    """A digit."""

    image: NDArray[np.uint8]
    label: int
    "which digit it is"


def digits(count: int) -> list[Digit]:
    return [Digit(image=np.zeros((2, number + 1), np.uint8), label=number) for number in range(count)]


def test_what_a_dataset_is(tmp_path: Path) -> None:
    atdata.write_samples(digits(5), tmp_path / "digits.tar", maxcount=2)
    found = atdata.inspect(atdata.load_dataset(tmp_path, split="train"))
    assert (found.type, found.description, found.samples, found.looked_at) == ("Digit", "A digit.", 5, 5)
    assert found.bytes == sum(path.stat().st_size for path in tmp_path.glob("*.tar"))
    assert found.layout == "tar shards with a manifest, indexed"
    assert found.problems == ()
    image, label = found.fields
    assert (image.type, image.dtypes, image.shape, image.optional) == ("NDArray[uint8]", ("uint8",), (2, None), False)
    assert (label.type, label.shape, label.description) == ("int", None, "which digit it is")
    assert [shard.samples for shard in found.shards] == [2, 2, 1]


def test_what_is_seen_without_class_and_manifest(tmp_path: Path) -> None:
    samples: list[Any] = [{"a": np.zeros(3, np.float32)}, {"a": np.zeros((2, 2), np.int8), "b": 1}, {"b": "x"}]
    atdata.write_samples(samples, tmp_path / "data.tar")
    (tmp_path / "manifest.json").unlink()
    found = atdata.inspect(atdata.Dataset(tmp_path / "data.tar"))
    assert (found.type, found.samples, found.layout) == ("DictSample", None, "tar shards without a manifest")
    a, b = found.fields
    assert (a.type, a.dtypes, a.shape) == ("NDArray[float32] | NDArray[int8]", ("float32", "int8"), None)
    assert (b.type, b.optional) == ("int | str", True)


def test_only_as_many_samples_are_read_as_asked(tmp_path: Path) -> None:
    dataset = atdata.write_samples(digits(5), tmp_path / "digits.tar")
    assert atdata.inspect(dataset, samples=2).fields[0].shape == (2, None)
    assert atdata.inspect(dataset, samples=1).fields[0].shape == (2, 1)
    none = atdata.inspect(dataset, samples=0)
    assert (none.looked_at, none.fields[0].dtypes, none.fields[0].type) == (0, (), "NDArray[uint8]")


def test_a_manifest_that_knows_some_shards_only(tmp_path: Path) -> None:
    atdata.write_samples(digits(2), tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(data)
    found = atdata.inspect(atdata.Dataset[Digit]([tmp_path / "a.tar", tmp_path / "b.tar"]))
    assert found.layout == "tar shards with a manifest that knows 1 of 2, 1 indexed"
    assert (found.samples, found.bytes) == (None, 2 * len(data))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.unlink(), "it is not there"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(path.read_bytes() + bytes(1024)), "bytes where the manifest says"),
        (lambda path: path.with_name("manifest.json").write_text("{"), "is not JSON"),
    ],
)
def test_what_is_wrong_is_told_and_no_error(tmp_path: Path, damage: Any, told: str) -> None:
    dataset = atdata.write_samples(digits(2), tmp_path / "digits.tar")
    damage(tmp_path / "digits.tar")
    found = atdata.inspect(dataset)
    assert told in found.problems[0]
    assert found.shards[0].problem is not None
    assert found.samples is None


def test_shards_that_only_the_manifest_has_are_told(tmp_path: Path) -> None:
    atdata.write_samples(digits(4), tmp_path / "digits.tar", maxcount=2)
    (tmp_path / "digits-000001.tar").unlink()
    (problem,) = atdata.inspect(atdata.load_dataset(tmp_path, split="train")).problems
    assert problem == f"{tmp_path / 'digits-000001.tar'}: the manifest names it, and it is not there"
