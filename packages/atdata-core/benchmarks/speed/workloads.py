"""What is written and read: sample types, and samples that are the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, make_dataclass, replace
from functools import cache, cached_property
from math import ceil
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import atdata

SHARDS = 8

Row: TypeAlias = tuple[Any, ...]
Maker: TypeAlias = Callable[[np.random.Generator, int], Row]


@dataclass(frozen=True)
class Field:
    """A field of a sample.

    Attributes:
        hint: its annotation.
        dtype: what an array is made of; None for other values.
        shape: shape of arrays that are all alike; None for other values and for arrays that cannot be stacked.
    """

    hint: Any
    dtype: str | None = None
    shape: tuple[int, ...] | None = None


def array(dtype: str, *shape: int) -> Field:
    """Arrays of one shape."""
    return Field(NDArray[np.dtype(dtype).type], dtype, shape)


INT, FLOAT, STR, BOOL = map(Field, (int, float, str, bool))


@dataclass(frozen=True)
class Workload:
    """Samples to write and read.

    Attributes:
        name: what it is called in options and tables.
        about: what its samples are, in words.
        count: how many samples there are.
        batch_size: samples per batch.
        buffer: how many samples a shuffle mixes at a time.
        fields: the fields by name.
        make: (random numbers, number of the sample) -> values of one sample, in the order of the fields.
    """

    name: str
    about: str
    count: int
    batch_size: int
    buffer: int
    fields: dict[str, Field]
    make: Maker

    def scaled(self, scale: float) -> Workload:
        """The same with fewer samples, or more."""
        return replace(self, count=max(1, round(self.count * scale)))

    @cached_property
    def plain(self) -> type:
        """The samples as a plain dataclass."""
        return make_dataclass(self.name, [(name, field.hint) for name, field in self.fields.items()])

    @cached_property
    def typed(self) -> type:
        """The same as a sample type of atdata."""
        hints = {name: field.hint for name, field in self.fields.items()}
        return atdata.packable(type(self.name, (), {"__annotations__": hints}))

    @cached_property
    def arrays(self) -> list[str]:
        """Names of the fields that hold arrays."""
        return [name for name, field in self.fields.items() if field.dtype]

    @cached_property
    def ragged(self) -> list[str]:
        """Names of the fields whose arrays differ in shape."""
        return [name for name in self.arrays if self.fields[name].shape is None]

    @property
    def maxcount(self) -> int:
        """Samples per shard."""
        return ceil(self.count / SHARDS)

    def rows(self) -> Iterator[Row]:
        """All samples, as their values in the order of the fields."""
        rng = np.random.default_rng(0)
        return (self.make(rng, number) for number in range(self.count))

    def dicts(self) -> Iterator[dict[str, Any]]:
        """All samples, as dicts."""
        return (dict(zip(self.fields, row, strict=True)) for row in self.rows())

    @cached_property
    def useful_bytes(self) -> int:
        """Bytes of all values: of arrays their data, of text its UTF-8, of numbers 8."""
        return sum(_useful(value) for row in self.rows() for value in row)


def _useful(value: Any) -> int:
    match value:
        case np.ndarray():
            return value.nbytes
        case str():
            return len(value.encode())
        case list():
            return sum(map(_useful, value))
        case dict():
            return sum(map(_useful, value.values()))
        case bool() | None:
            return 1
    return 8


@cache
def _words() -> str:
    """Text to cut pieces from. Few letters are not ASCII, as in English."""
    rng = np.random.default_rng(1)
    letters = rng.choice(list("etaoinshrdlucmfw"), 200_000)
    letters[::6] = " "
    letters[::20_000] = "é"
    return "".join(letters)


def _w1(rng: np.random.Generator, number: int) -> Row:
    return rng.random(128, np.float32), number % 1000, f"source-{number % 13}"


def _w2(rng: np.random.Generator, number: int) -> Row:
    return rng.integers(0, 256, (224, 224, 3), np.uint8), f"class-{number % 100}", rng.random()


def _w2f(rng: np.random.Generator, number: int) -> Row:
    return rng.random((224, 224, 3), np.float32), f"class-{number % 100}", rng.random()


def _w3(rng: np.random.Generator, _: int) -> Row:
    words = _words()
    length, start = int(rng.integers(200, 2001)), int(rng.integers(len(words) - 2000))
    return rng.integers(0, 50_000, rng.integers(100, 2001), np.int32), words[start : start + length]


def _arrays(rng: np.random.Generator, number: int) -> Row:
    image = rng.integers(0, 256, (32, 32, 3), np.uint8)
    return image, image[:, :, 0] > 127, rng.random(64, np.float32), number % 10


def _optional(rng: np.random.Generator, number: int) -> Row:
    return (rng.random(64, np.float32) if rng.random() < 0.5 else None), number % 10


def _ints(rng: np.random.Generator, _: int) -> Row:
    shifts = rng.integers(0, 64, 8).tolist()
    return tuple(n >> shift for n, shift in zip(rng.integers(-(2**63), 2**63 - 1, 8).tolist(), shifts, strict=True))


def _scalars(rng: np.random.Generator, _: int) -> Row:
    ints, floats = rng.integers(0, 100_000, 8).tolist(), rng.random(6).tolist()
    return *ints, *floats, *(f"value {n}" for n in ints[:4]), *(x > 0.5 for x in floats[:2])


def _nested(rng: np.random.Generator, number: int) -> Row:
    boxes = rng.integers(0, 500, rng.integers(1, 20)).tolist()
    return boxes, [f"tag {box}" for box in boxes[:5]], {"id": number, "camera": "left", "at": [0.5, number / 7]}


def _digits(rng: np.random.Generator, number: int) -> Row:
    return rng.integers(0, 17, (8, 8), np.uint8), number % 10


# Measured with all formats.
MAIN = [
    Workload(
        "W1",
        "features float32[128], label int, source str",
        count=200_000,
        batch_size=256,
        buffer=10_000,
        fields={"features": array("float32", 128), "label": INT, "source": STR},
        make=_w1,
    ),
    Workload(
        "W2",
        "image uint8[224, 224, 3], label str, confidence float",
        count=4_000,
        batch_size=32,
        buffer=1_000,  # 150 kB each, and some formats hold them all
        fields={"image": array("uint8", 224, 224, 3), "label": STR, "confidence": FLOAT},
        make=_w2,
    ),
    Workload(
        "W2f",
        "image float32[224, 224, 3], label str, confidence float",
        count=1_000,
        batch_size=32,
        buffer=1_000,
        fields={"image": array("float32", 224, 224, 3), "label": STR, "confidence": FLOAT},
        make=_w2f,
    ),
    Workload(
        "W3",
        "tokens int32[100 to 2000], text str of 200 to 2000 characters",
        count=50_000,
        batch_size=64,
        buffer=10_000,
        fields={"tokens": Field(NDArray[np.int32], "int32"), "text": STR},
        make=_w3,
    ),
]


def _shape(name: str, about: str, fields: dict[str, Field], make: Maker) -> Workload:
    return Workload(name, about, count=5_000, batch_size=64, buffer=2_000, fields=fields, make=make)


# Measured beside the baseline only: is there a shape of sample that the engine is no gain for?
SHAPES = [
    _shape(
        "arrays",
        "uint8[32, 32, 3], bool[32, 32], float32[64], int",
        {"image": array("uint8", 32, 32, 3), "mask": array("bool", 32, 32), "vector": array("float32", 64), "n": INT},
        _arrays,
    ),
    _shape(
        "optional",
        "float32[64] in half of the samples, int",
        {"vector": Field(NDArray[np.float32] | None, "float32"), "label": INT},
        _optional,
    ),
    _shape("ints", "8 int, of all widths", {f"n{number}": INT for number in range(8)}, _ints),
    _shape(
        "scalars",
        "8 int, 6 float, 4 str, 2 bool",
        {f"f{number}": field for number, field in enumerate([INT] * 8 + [FLOAT] * 6 + [STR] * 4 + [BOOL] * 2)},
        _scalars,
    ),
    _shape(
        "nested",
        "list of 1 to 19 int, list of str, dict",
        {"boxes": Field(list[int]), "tags": Field(list[str]), "meta": Field(dict[str, Any])},
        _nested,
    ),
    _shape("digits", "uint8[8, 8], int", {"image": array("uint8", 8, 8), "label": INT}, _digits),
]

WORKLOADS = {workload.name: workload for workload in MAIN + SHAPES}
