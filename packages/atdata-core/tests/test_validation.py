"""``validate``: sound datasets are found sound, and every fault is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata.look.validation import MOST_PROBLEMS, Validation
from atdata.shard.payload import pack_value
from atdata.shard.tar import END_OF_ARCHIVE, header, padding


@atdata.packable
class Digit:
    image: NDArray[np.uint8]
    label: int


def digits(count: int) -> list[Digit]:
    return [Digit(image=np.full((4, 4), number, np.uint8), label=number) for number in range(count)]


@pytest.fixture
def dataset(tmp_path: Path) -> atdata.Dataset[Digit]:
    return atdata.write_samples(digits(10), tmp_path / "data.tar", maxcount=4)


def tar(path: Path, members: list[tuple[str, Any]]) -> Path:
    """A shard of members of our own making: names, and their values or bytes."""
    with open(path, "wb") as file:
        for name, value in members:
            data = value if isinstance(value, bytes) else pack_value(value)
            file.write(header(name, len(data)) + data + bytes(padding(len(data))))
        file.write(END_OF_ARCHIVE)
    return path


def messages(found: Validation) -> list[str]:
    return [problem.message for problem in found]


def test_a_sound_dataset(dataset: atdata.Dataset[Digit], tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    found = atdata.validate(dataset, progress=lambda done, total: told.append((done, total)))
    assert (found.ok, found.samples, found.problem_count, list(found)) == (True, 10, 0, [])
    assert told[-1] == (10, 10)
    for shard, path in zip(found.shards, sorted(tmp_path.glob("*.tar")), strict=True):
        assert (shard.name, shard.bytes) == (str(path), path.stat().st_size)


def test_a_dataset_without_manifest_or_type_can_be_sound(tmp_path: Path, dataset: atdata.Dataset[Digit]) -> None:
    for name in ("manifest.json", *(path.name for path in tmp_path.glob("*.index"))):
        (tmp_path / name).unlink()
    assert atdata.validate(dataset).ok
    assert atdata.validate(atdata.Dataset(dataset.url)).ok


def test_every_faulty_sample_is_named_and_hides_none_behind_it(tmp_path: Path) -> None:
    good = {"image": np.zeros((1, 1), np.uint8), "label": 1}
    bad: list[tuple[str, Any]] = [
        ("a.msgpack", atdata.DictSample(**good).packed),
        ("b.msgpack", atdata.DictSample(**good | {"label": "one"}).packed),
        ("c.msgpack", b"\xc1"),
        ("d.msgpack", {"image": b"no array", "label": 1}),
        ("e.msgpack", atdata.DictSample(image=good["image"]).packed),
        ("f.msgpack", atdata.DictSample(**good).packed),
        ("g.msgpack", [1, 2]),
    ]
    found = atdata.validate(atdata.Dataset[Digit](tar(tmp_path / "bad.tar", bad)))
    assert [(p.key, p.field) for p in found] == [
        ("b", "label"),
        ("c", None),
        ("d", "image"),
        ("e", "label"),
        ("g", None),
    ]
    assert all(problem.offset is not None for problem in found)
    assert found.samples == 7
    assert "expected int, found str" in messages(found)[0]
    untyped = atdata.validate(atdata.Dataset(tmp_path / "bad.tar"))
    assert [problem.key for problem in untyped] == ["c", "g"]


def test_of_many_faults_some_are_kept_and_all_counted(tmp_path: Path) -> None:
    members = [(f"{n:04}.msgpack", b"\xc1") for n in range(1000)]
    (shard,) = atdata.validate(atdata.Dataset[Digit](tar(tmp_path / "bad.tar", members))).shards
    assert (len(shard.problems), shard.problem_count) == (MOST_PROBLEMS, 1000)


def test_keys_that_come_again_are_told(tmp_path: Path) -> None:
    shard = tar(tmp_path / "twice.tar", [(f"{key}.msgpack", {"n": 1}) for key in "abca"])
    (problem,) = atdata.validate(atdata.Dataset(shard))
    assert (problem.key, problem.message) == ("a", "2 samples have this key")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.rindex(b"label") + 5] ^= 1
    path.write_bytes(data)


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    manifest = path.with_name("manifest.json")
    content = json.loads(manifest.read_text())
    change(content)
    manifest.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:700]), "truncated"),
        (lambda path: path.write_bytes(b""), "empty: 0 bytes is not a tar"),
        (lambda path: path.unlink(), "no shard at"),
        (_flip, "it has sha256"),
        (lambda path: path.write_bytes(path.read_bytes() + bytes(512)), "bytes where the manifest says"),
        (lambda path: _edit(path, lambda m: m["shards"][0].update(samples=3)), "4 samples from"),
        (
            lambda path: _edit(path, lambda m: m["shards"][0].update(firstKey="x")),
            "where the manifest says 4 from 'x' on",
        ),
        (
            lambda path: path.with_name(f"{path.name}.index").write_bytes(b"x"),
            "its .index file is not that of this shard",
        ),
        (lambda path: shutil.copy(f"{path}".replace("0.tar", "1.tar.index"), f"{path}.index"), "its .index file"),
        (lambda path: path.with_name("manifest.json").write_text("{"), "is not JSON"),
        (lambda path: _edit(path, lambda m: next(iter(m["schemas"].values())).update(name="Other")), "it was changed"),
        (lambda path: _edit(path, lambda m: next(iter(m["schemas"].values())).pop("fields")), "is none"),
        (lambda path: _edit(path, lambda m: m["schemas"].clear()), "which is not there"),
        (lambda path: (path.parent / "data-000002.tar").rename(path.parent / "x.tar"), "it names data-000002.tar"),
    ],
)
def test_every_fault_is_found(dataset: atdata.Dataset[Digit], tmp_path: Path, damage: Any, told: str) -> None:
    damage(tmp_path / "data-000000.tar")
    found = atdata.validate(dataset)
    assert not found.ok
    assert any(told in message for message in messages(found)), messages(found)
    assert all(str(problem) for problem in found)


def test_a_sidecar_that_points_elsewhere_is_found(dataset: atdata.Dataset[Digit], tmp_path: Path) -> None:
    index = tmp_path / "data-000000.tar.index"
    data = bytearray(index.read_bytes())
    starts = np.frombuffer(data, "<u8", 4, 56).copy()
    data[56 : 56 + 32] = starts[[1, 0, 2, 3]].tobytes()
    index.write_bytes(data)
    assert messages(atdata.validate(dataset)) == [
        "its .index file is not that of this shard; delete it, and the shard is read without it"
    ]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_byte_of_a_shard_can_change_unnoticed(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    dataset = atdata.write_samples(digits(3), folder / "data.tar")
    shard = folder / "data.tar"
    content = bytearray(shard.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    shard.write_bytes(content)
    assert not atdata.validate(dataset).ok


def test_what_a_type_s_own_code_raises_is_a_fault_of_the_sample(tmp_path: Path) -> None:
    @atdata.packable
    class Positive:
        n: int

        def __post_init__(self) -> None:
            if self.n < 0:
                raise RuntimeError(f"{self.n} is negative")

    atdata.write_samples([{"n": 1}, {"n": -1}, {"n": 2}, {"n": -2}], tmp_path / "n.tar")
    found = atdata.validate(atdata.Dataset[Positive](tmp_path / "n.tar"))
    assert messages(found) == ["RuntimeError: -1 is negative", "RuntimeError: -2 is negative"]


def test_a_source_that_only_reads_is_enough(tmp_path: Path) -> None:
    atdata.write_samples(digits(3), tmp_path / "data.tar")

    class Reads:
        def __init__(self, stream: Any) -> None:
            self.read, self.close = stream.read, stream.close

    class Source:
        shard_list = ("only",)

        def open_shard(self, shard_id: str) -> Any:
            return Reads(open(tmp_path / "data.tar", "rb"))

    found = atdata.validate(atdata.Dataset[Digit](Source()))  # type: ignore[arg-type]
    assert (found.ok, found.samples) == (True, 3)
