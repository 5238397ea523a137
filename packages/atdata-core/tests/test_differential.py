"""Every way to read a shard against a plain reader made of ``tarfile``, ``ormsgpack`` and ``np.load``.

Shards are drawn at random: what their samples hold, how that is written as msgpack, who wrote the tar, what is wrong
with it. So are the sizes at which the engine changes its ways. ``ATDATA_FUZZ=50`` draws fifty times as many.
"""

import contextlib
import io
import itertools
import math
import operator
import os
import pickle
import random
import shutil
import struct
import tarfile
from collections import Counter
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import ormsgpack
import pytest
import webdataset as wds
from forms import drained, form
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DictSample
from atdata.errors import AtdataError, FieldMismatch, MalformedSample, RaggedBatch, SampleDecodeError, ShardCorrupted
from atdata.feed import reading
from atdata.manifest.sidecar import sidecar_bytes, sidecar_name
from atdata.shard import blocks, columns, gather, mapped, scan
from atdata.shard.tar import END_OF_ARCHIVE, header, padding

FUZZ = int(os.environ.get("ATDATA_FUZZ", "1"))


def examples(count):
    """Settings for a test that draws ``count`` examples, the same ones in each run unless it is a long one."""
    return settings(
        max_examples=count * FUZZ,
        derandomize=FUZZ == 1,
        deadline=None,
        phases=set(Phase) - {Phase.explain},
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@atdata.packable
class Mixed:
    """A field of every kind, in an order that no writer keeps."""

    label: str
    image: NDArray
    number: int = -1
    mask: NDArray | None = None
    real: float = 0.5
    flag: bool = False
    note: str | None = "none"
    raw: bytes = b"default"
    points: NDArray = field(default_factory=lambda: np.arange(3))
    items: list[float] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    extra: Any = None


@atdata.packable
class Checked(Mixed):
    """The same, made by its constructor."""

    def __post_init__(self):
        super().__post_init__()
        assert type(self.label) is str


# ------------------------------------------------------------------------------------ the reference reader


class Bad(NamedTuple):
    """A value that cannot be read, and the class of the error that says so."""

    kind: type[AtdataError]


class Row(NamedTuple):
    """A sample as the reference reads it.

    Attributes:
        shard: name of its shard.
        key: its key.
        offset: where its first header begins.
        payload: its bytes.
        stored: the map that they hold.
        fields: each field of ``Mixed``.
        fault: class of the error that the sample as a whole gives.
    """

    shard: str
    key: str
    offset: int
    payload: bytes
    stored: Any
    fields: dict[str, Any]
    fault: type[AtdataError] | None

    def __repr__(self):
        return f"Row({self.key[-20:]!r}, {self.fault.__name__ if self.fault else 'good'})"


class Shard(NamedTuple):
    """A shard as the reference reads it.

    Attributes:
        rows: its samples, up to what is wrong with the shard itself.
        fault: that, as class of the error, key and offset.
        starts: where the bytes of each sample begin.
    """

    rows: list[Row]
    fault: tuple[type[AtdataError], str | None, int | None] | None
    starts: list[int]


def read_array(data):
    """An array in either form, or ValueError."""
    stream = io.BytesIO(data)
    if data[:6] == b"\x93NUMPY":
        array = np.lib.format.read_array(stream, allow_pickle=False, max_header_size=1 << 16)
    else:
        name = stream.read(stream.read(1)[0]).decode("ascii")
        shape = [struct.unpack("<q", stream.read(8))[0] for _ in range(stream.read(1)[0])]
        dtype = np.dtype(name)
        if dtype.hasobject or min(shape, default=0) < 0:
            raise ValueError("no array")
        array = np.frombuffer(stream.read(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
    if stream.read(1):
        raise ValueError("more bytes than elements")
    return array


def as_array(value):
    if type(value) is not bytes:
        raise Refusal(FieldMismatch)
    try:
        return read_array(value)
    except (ValueError, TypeError, IndexError, EOFError, struct.error):
        raise Refusal(SampleDecodeError) from None


class Refusal(Exception):
    """Raised with the class of the error that is expected."""


def of_type(*types, make=lambda value: value):
    def convert(value):
        if type(value) not in types:
            raise Refusal(FieldMismatch)
        return make(value)

    return convert


def optional(convert):
    return lambda value: None if value is None else convert(value)


as_float = of_type(float, int, bool, make=float)
CONVERT = {
    "label": of_type(str),
    "image": as_array,
    "number": of_type(int, bool, make=int),
    "mask": optional(as_array),
    "real": as_float,
    "flag": of_type(bool),
    "note": optional(of_type(str)),
    "raw": of_type(bytes),
    "points": as_array,
    "items": of_type(list, make=lambda values: [as_float(value) for value in values]),
    "info": of_type(dict, make=lambda values: {of_type(str)(key): value for key, value in values.items()}),
    "extra": lambda value: value,
}
ARRAYS = ("image", "mask", "points")


def read_map(payload):
    try:
        stored = ormsgpack.unpackb(payload, option=ormsgpack.OPT_NON_STR_KEYS)
    except (ValueError, TypeError):
        return Bad(SampleDecodeError)
    if type(stored) is not dict or any(type(name) is not str for name in stored):
        return Bad(SampleDecodeError)
    return stored


def read_fields(stored):
    """Every field of ``Mixed``, and the class of the error that the sample gives, or None."""
    if isinstance(stored, Bad):
        return dict.fromkeys(CONVERT, stored), stored.kind
    fields = {}
    for name, convert in CONVERT.items():
        if name in stored:
            try:
                fields[name] = convert(stored[name])
            except Refusal as refusal:
                fields[name] = Bad(refusal.args[0])
    good = {name: value for name, value in fields.items() if not isinstance(value, Bad)}
    required = {"label": "", "image": np.zeros(0)}
    sample = Mixed(**{**required, **good})  # has the defaults of all that is missing
    for name in CONVERT:
        if name not in fields:
            fields[name] = Bad(FieldMismatch) if name in required else getattr(sample, name)
    fields = {name: fields[name] for name in CONVERT}
    faults = (fields[name].kind for name in CONVERT if isinstance(fields[name], Bad))
    return fields, next(faults, None)


def group_of(name):
    """The sample that a member belongs to by WebDataset's rules, or None."""
    folder, slash, base = name.rpartition("/")
    stem, dot, _ = base.partition(".")
    first = name.split("/")[0]
    hidden = len(first) > 3 and first.startswith("__") and first.endswith("__")
    return folder + slash + stem if dot and stem and not hidden else None


def tar_members(data):
    """The members of a tar that may be cut off anywhere; the last of them perhaps in part."""
    with contextlib.suppress(tarfile.ReadError), tarfile.TarFile(fileobj=io.BytesIO(data), ignore_zeros=True) as tar:
        yield from tar


def reference(data, shard):
    """What a shard holds; a shard without end-of-archive is cut off."""
    rows, starts, current, orphan, end = [], [], None, None, 0
    for member in tar_members(data):
        group = group_of(member.name)
        content = data[member.offset_data : member.offset_data + member.size] if member.isreg() else b""
        if member.isreg() and group is not None:
            if group != current:
                if orphan is not None:
                    break
                current, orphan = group, None if group.startswith("__") else (group, member.offset)
            if member.name.endswith(".msgpack") and len(content) == member.size:
                orphan = None
                stored = read_map(content)
                starts.append(member.offset_data)
                key = member.name.removesuffix(".msgpack")
                rows.append(Row(shard, key, member.offset, content, stored, *read_fields(stored)))
        end = member.offset_data + len(content) + padding(len(content))
        if end > len(data) or (member.isreg() and len(content) < member.size):
            return Shard(rows, (ShardCorrupted, None, member.offset), starts)
    if orphan is not None:
        return Shard(rows, (MalformedSample, *orphan), starts)
    if len(data) == end or len(data) % 512:
        return Shard(rows, (ShardCorrupted, None, len(data) // 512 * 512), starts)
    return Shard(rows, None, starts)


# -------------------------------------------------------------------------------------------- comparison


def row_form(row, cls):
    return form(row.stored) if cls is DictSample else tuple(form(row.fields[name]) for name in CONVERT)


def sample_form(sample):
    """The same of a sample that was read; its arrays are its own."""
    if isinstance(sample, DictSample):
        return form(sample.to_dict())
    values = [getattr(sample, name) for name in CONVERT]
    assert list(vars(sample)) == list(CONVERT)
    check_owned(values)
    return tuple(map(form, values))


def check_owned(values):
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    assert len(set(map(id, arrays))) == len(arrays)
    for array in arrays:
        assert array.flags.owndata
        assert array.flags.writeable
        assert array.flags.aligned


def fault_of(row, cls):
    if cls is DictSample:
        return row.stored.kind if isinstance(row.stored, Bad) else None
    return row.fault


class Expected(NamedTuple):
    """What reading some shards in order should give: samples, then perhaps an error of a shard itself.

    Attributes:
        rows: the samples.
        error: class, key, offset and shard of the error.
        others: samples of the shards behind that one, which come out when shards are mixed.
        other_errors: the errors of those.
    """

    rows: list[Row]
    error: tuple[Any, ...] | None = None
    others: tuple[Row, ...] = ()
    other_errors: tuple[tuple[Any, ...], ...] = ()

    @classmethod
    def of(cls, shards):
        found = [(shard.rows, (*shard.fault, name) if shard.fault else None) for name, shard in shards.items()]
        end = next((n for n, (_, error) in enumerate(found) if error), len(found))
        rows = [row for part, _ in found[: end + 1] for row in part]
        others = [row for part, _ in found[end + 1 :] for row in part]
        errors = [error for _, error in found if error]
        return cls(rows, errors[0] if errors else None, tuple(others), tuple(errors[1:]))

    def check_error(self, error):
        """The error, or None, that comes behind the last sample."""
        assert place_of(error) == self.error, error


def place_of(error):
    return None if error is None else (type(error), error.key, error.offset, error.shard)


def check_located(error, row, kind):
    """An error that a sample gives says which sample it is."""
    assert place_of(error) == (kind, row.key, row.offset, row.shard), error


def check_samples(stream, expected, cls):
    """Single samples, in order."""
    got, error = drained(stream)
    assert {type(sample) for sample in got} <= {cls}
    bad = next((n for n, row in enumerate(expected.rows) if fault_of(row, cls)), None)
    assert [sample_form(sample) for sample in got] == [row_form(row, cls) for row in expected.rows[:bad]]
    if bad is None:
        expected.check_error(error)
    else:
        assert error is not None, "a sample that cannot be read is passed over"
        check_located(error, expected.rows[bad], fault_of(expected.rows[bad], cls))


def check_all_samples(batch, rows, cls):
    """The samples of a batch, which come all together or not at all."""
    bad = next((row for row in rows if fault_of(row, cls)), None)
    if bad is None:
        assert [sample_form(sample) for sample in batch] == [row_form(row, cls) for row in rows]
        assert batch.samples[-1] is batch[len(rows) - 1]
        return
    with pytest.raises(AtdataError) as caught:
        iter(batch)
    check_located(caught.value, bad, fault_of(bad, cls))


def check_column_error(error, rows, name):
    """A column may fail at the first of its values that is bad, or before it at a sample that is bad as a whole."""
    for row in rows:
        bad, whole = row.fields[name], isinstance(row.stored, Bad)
        if (row.shard, row.key, row.offset) == (error.shard, error.key, error.offset) and isinstance(bad, Bad):
            # of a sample that is cut off, what was read may be of the wrong type, too
            check_located(error, row, type(error) if whole and isinstance(error, SampleDecodeError) else bad.kind)
            return
        assert whole or not isinstance(bad, Bad), f"{error} is not the first fault; that is {row.key}"
    raise AssertionError(f"{error} is about a sample that is good") from error


def check_column(batch, rows, name):
    """One field of a batch, as list and as what the batch makes of it."""
    try:
        values = batch.list(name)
    except AtdataError as error:
        check_column_error(error, rows, name)
        with pytest.raises(type(error)):
            batch[name]
        return
    assert len(values) == len(rows)
    check_owned(values)
    for value, row in zip(values, rows, strict=True):
        if isinstance(row.stored, Bad):
            continue  # what is wrong lies in a part of the sample that was not looked at
        assert not isinstance(row.fields[name], Bad), f"{row.key}.{name} cannot be read, but {value!r} came out"
        assert form(value) == form(row.fields[name]), name
    if name not in ARRAYS:
        assert batch[name] is values
        return
    check_stacked(batch, values, name)


def check_stacked(batch, values, name):
    if any(value is None or value.shape != values[0].shape for value in values):
        with pytest.raises(RaggedBatch):
            batch[name]
        stacked = None
    else:
        try:
            with np.errstate(invalid="ignore", over="ignore"):
                wanted = np.stack(values)
                stacked = batch[name]
        except (TypeError, UnicodeDecodeError):  # dtypes that have none in common
            with pytest.raises(RaggedBatch):
                batch[name]
            return
        assert form(stacked) == form(np.ascontiguousarray(wanted))
        assert stacked.flags.c_contiguous
        check_owned([stacked])
        assert not any(np.shares_memory(stacked, value) for value in values if value.size)
    given = [value for value in values if value is not None]
    if len({value.ndim for value in given}) == 1 and all(value.dtype.kind in "iuf" for value in given):
        check_padded(batch, values, given, name)


def check_padded(batch, values, given, name):
    with np.errstate(invalid="ignore"):  # of signalling NaN
        padded, lengths = batch.pad(name)
    longest = [max(sizes) for sizes in zip(*(value.shape for value in given), strict=True)]
    wanted = np.zeros((len(values), *longest), np.result_type(*{value.dtype for value in given}))
    for row, value in enumerate(values):
        if value is not None:
            with np.errstate(invalid="ignore"):
                wanted[(row, *map(slice, value.shape))] = value
    assert form(padded) == form(wanted)
    shapes = [(0,) * len(longest) if value is None else value.shape for value in values]
    assert lengths.tolist() == ([size for (size,) in shapes] if len(longest) == 1 else list(map(list, shapes)))


def check_batch(batch, rows, cls, rng):
    """Everything that a batch offers, in any order."""
    assert len(batch) == len(rows)
    if cls is DictSample:
        check_dict_batch(batch, rows)
        return
    places = [chunk.where(n) for chunk, low, high in batch._pieces for n in range(low, high)]
    assert places == [(row.shard, row.key, row.offset) for row in rows]
    if rng.random() < 0.2:  # from then on the fields are those of the samples
        check_all_samples(batch, rows, cls)
    for name in rng.sample(sorted(CONVERT), len(CONVERT)):
        check_column(batch, rows, name)
    check_all_samples(batch, rows, cls)


def check_dict_batch(batch, rows):
    check_all_samples(batch, rows, DictSample)
    if not any(isinstance(row.stored, Bad) for row in rows):
        for name in set.intersection(*(set(row.stored) for row in rows)):
            assert form(batch[name]) == form([row.stored[name] for row in rows])


def check_batches(dataset, expected, size, rng):
    """Batches in order: looked at when they come or later, all or some, as they are or pickled."""
    rows, cls = expected.rows, dataset.sample_type
    drop_last = rng.random() < 0.2
    stream = iter(dataset.ordered(size, drop_last=drop_last))
    later = []
    error = None
    for start in range(0, len(rows) // size * size if drop_last or expected.error else len(rows), size):
        batch, part = next(stream), rows[start : start + size]
        if rng.random() < 0.1:
            batch = pickle.loads(pickle.dumps(batch))
        if rng.random() < 0.5:
            check_batch(batch, part, cls, rng)
        elif rng.random() < 0.5 and cls is not DictSample:
            check_column(batch, part, rng.choice(sorted(CONVERT)))
            later.append((batch, part))
        else:
            later.append((batch, part))
    try:
        assert next(stream, None) is None
    except AtdataError as caught:
        error = caught
    expected.check_error(error)
    for batch, part in later:
        check_batch(batch, part, cls, rng)


def check_shuffled(stream, expected, cls):
    """Single samples in any order. Returns them in that order."""
    got, error = drained(stream)
    forms = [sample_form(sample) for sample in got]
    rows = [*expected.rows, *expected.others]
    faults = {(fault_of(row, cls), row.key, row.offset, row.shard) for row in rows if fault_of(row, cls)}
    wanted = Counter(row_form(row, cls) for row in rows if not fault_of(row, cls))
    assert Counter(forms) <= wanted
    if error is None:
        assert len(forms) == len(rows)
        assert expected.error is None
    else:
        assert place_of(error) in {*faults, expected.error, *expected.other_errors}, error
    return forms


def check_shuffled_batches(stream, expected, size):
    """Batches in any order."""
    got, error = drained(stream)
    rows = [*expected.rows, *expected.others]
    at = {(row.shard, row.key, row.offset): row for row in rows}
    seen = []
    for batch in got:
        assert len(batch) == size or batch is got[-1]
        part = [at[chunk.where(n)] for chunk, low, high in batch._pieces for n in range(low, high)]
        seen += part
        for name in CONVERT:
            check_column(batch, part, name)
    assert len(seen) == len({(row.shard, row.offset) for row in seen})
    if error is None:
        assert len(seen) == len(rows)
        assert expected.error is None
    else:
        assert place_of(error) in {expected.error, *expected.other_errors}, error


# ------------------------------------------------------------------------------------ making payloads

DTYPES = (
    *("u1", "i1", "?", "<f2", "<f4", "<f8", ">f4", ">i2", "<i4", "<i8", "<u8", "<c8", ">c16", "S5", "<U3", ">U2"),
    *("<M8[s]", ">m8[ms]", "<M8[25us]", "V3"),
    [("a", "<i4"), ("b", ">f8")],
    [("x", "u1"), ("y", "<f4", (2,)), ("z", [("t", "<M8[D]")])],
)
PADDED = np.dtype({"names": ["a", "b"], "formats": ["u1", "<f8"], "offsets": [0, 8], "itemsize": 16})
SHAPES = ((), (0,), (1,), (3,), (2, 3), (4, 0), (0, 2), (1, 1, 1), (2, 3, 4))
COMPACT = (*(name for name in DTYPES if isinstance(name, str) and name[0] in "<>"), "|u1", "|b1", "|S5")
INTEGERS = sorted({s * (2**k) + d for k in (0, 5, 7, 8, 15, 16, 31, 32, 53, 62) for s in (1, -1) for d in (-1, 0, 1)})
EXTREMES = (-(2**63), 2**63 - 1, 2**63, 2**64 - 1)
LETTERS = ("a", "A0", "é", "日本", "\U0001f600", "\0", " ")
LENGTHS = (0, 1, 5, 31, 32, 47, 48, 49, 255, 256)
FLOATS = (0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 1e300, 5e-324, 0.1, 2.0**53)
GOOD_ODDITIES = ("order", "repeat", "unknown", "none", "missing", "array", "head")
BAD_ODDITIES = ("drop", "type", "damage", "text", "cut", "tail", "no map", "key", "extension", "count")


def make_array(rng, dtype, shape):
    dtype = np.dtype(dtype)
    array = np.zeros(shape, dtype)
    if dtype.kind == "U":
        array[...] = rng.choice(["", "a", "éü", "\U0001f600"])
    elif dtype.kind == "b":
        array[...] = rng.random() < 0.5
    elif dtype.names is not None:
        for name in dtype.names:
            part = make_array(rng, dtype[name].base, array[name].shape)
            array[name] = part
    elif array.nbytes:
        array = np.frombuffer(rng.randbytes(array.nbytes), dtype).reshape(shape)
    return array


def npy(array, version=(1, 0)):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version, allow_pickle=True)
    return out.getvalue()


def loose_npy(array):
    """A header that is laid out as NumPy never does."""
    descr = np.lib.format.dtype_to_descr(array.dtype)
    text = f"{{'shape':{array.shape!r},  'descr': {descr!r},'fortran_order': False}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + array.tobytes()


def compact(array):
    name = array.dtype.str.encode()
    return (
        bytes([len(name)]) + name + bytes([array.ndim]) + struct.pack(f"<{array.ndim}q", *array.shape) + array.tobytes()
    )


def length_forms(size, fixed, limit, heads):
    forms = [bytes([fixed | size])] if size < limit else []
    return forms + [bytes([head]) + size.to_bytes(width, "big") for head, width in heads if size < 1 << (8 * width)]


def integer_forms(value):
    forms = [bytes([value & 255])] if -32 <= value < 128 else []
    kinds = ((0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q"), (0xD0, "b"), (0xD1, "h"), (0xD2, "i"), (0xD3, "q"))
    for head, code in kinds:
        with contextlib.suppress(struct.error):
            forms.append(bytes([head]) + struct.pack(f">{code}", value))
    return forms


class Raw(bytes):
    """Bytes that are msgpack already."""


class Encoder:
    """Values as msgpack, in the shortest form, the longest, or any."""

    def __init__(self, rng, choice):
        self._rng = rng
        self._choice = choice

    def _pick(self, forms):
        return {"short": forms[0], "long": forms[-1]}.get(self._choice) or self._rng.choice(forms)

    def __call__(self, value):
        pick = self._pick
        if isinstance(value, Raw):
            return bytes(value)
        if value is None or isinstance(value, bool):
            return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
        if isinstance(value, int):
            return pick(integer_forms(value))
        if isinstance(value, float):
            forms = [b"\xcb" + struct.pack(">d", value)]
            with contextlib.suppress(OverflowError):
                single = struct.pack(">f", value)
                forms += [b"\xca" + single] * (struct.unpack(">f", single)[0] == value or value != value)
            return pick(forms)
        if isinstance(value, str):
            text = value.encode()
            return pick(length_forms(len(text), 0xA0, 32, ((0xD9, 1), (0xDA, 2), (0xDB, 4)))) + text
        if isinstance(value, bytes):
            return pick(length_forms(len(value), 0, 0, ((0xC4, 1), (0xC5, 2), (0xC6, 4)))) + value
        if isinstance(value, list):
            head = pick(length_forms(len(value), 0x90, 16, ((0xDC, 2), (0xDD, 4))))
            return head + b"".join(map(self, value))
        return self.map(list(value.items()))

    def map(self, pairs, count=None):
        size = len(pairs) if count is None else count
        head = self._pick(length_forms(size, 0x80, 16, ((0xDE, 2), (0xDF, 4))))
        return head + b"".join(self(part) for pair in pairs for part in pair)


@dataclass
class Recipe:
    """What the samples of a shard are like.

    Attributes:
        seed: decides all that is left open.
        count: how many there are.
        names: their fields, in order; a name may come twice.
        forms: how values are encoded: "short", "long" or "any".
        key_forms: the same for the names.
        bulk: least bytes of the image.
        varied: fields whose values differ in kind or size from sample to sample; arrays, in their layout.
        good: how often a sample is odd but can be read.
        bad: how often it cannot.
        as_of: fields that all samples fill with what another field is for; some of that is taken, some refused.
    """

    seed: int
    count: int
    names: list[str]
    forms: str
    key_forms: str
    bulk: int
    varied: set[str]
    good: float
    bad: float
    as_of: dict[str, str]


class Maker:
    """Makes the payloads of a recipe: much like each other, as far as it does not ask for variety."""

    def __init__(self, recipe):
        self._recipe = recipe
        self._rng = random.Random(recipe.seed)
        self._encode = Encoder(self._rng, recipe.forms)
        self._key = Encoder(self._rng, recipe.key_forms)
        self._layouts = {name: self._layout(name) for name in ARRAYS}
        self._style = {name: self._rng.choice(("ascii", "any")) for name in ("label", "note", "unknown")}
        self._length = self._rng.choice(LENGTHS)
        self._integers = self._rng.choice((INTEGERS, EXTREMES, INTEGERS + list(EXTREMES)))
        self._small = self._rng.random() < 0.3  # numbers that end in zero bytes, as headers do
        self._ragged = self._rng.random() < 0.5

    def payloads(self):
        return [self._payload() for _ in range(self._recipe.count)]

    def _layout(self, name):
        rng = self._rng
        shape = rng.choice(SHAPES)
        writer = rng.choice(("npy", "npy", "npy", "npy2", "npy3", "loose", "fortran", "compact"))
        dtype = rng.choice(COMPACT if writer == "compact" else (*DTYPES, PADDED))
        if name == "image" and self._recipe.bulk and 0 not in shape:
            items = math.prod(shape) * np.dtype(dtype).itemsize
            shape = (-(-self._recipe.bulk // items), *shape)
        return dtype, shape, writer

    def _array(self, name):
        dtype, shape, writer = self._layouts[name]
        if name in self._recipe.varied:
            if self._ragged:
                shape = (self._rng.randrange(12), *shape[1:])
            elif self._rng.random() < 0.3:
                dtype, shape, writer = self._layout(name)
        array = make_array(self._rng, dtype, shape)
        if self._small and array.dtype.kind in "iu":
            array = (np.arange(array.size) % 100 + 1).astype(dtype).reshape(shape)
        if writer == "compact":
            return compact(array)
        if writer == "loose":
            return loose_npy(array)
        if writer == "fortran":
            return npy(np.asfortranarray(array))
        return npy(array, {"npy2": (2, 0), "npy3": (3, 0)}.get(writer, (1, 0)))

    def _text(self, name):
        rng = self._rng
        length = rng.choice(LENGTHS) if name in self._recipe.varied else self._length
        if self._style[name] == "ascii":
            return "".join(rng.choices("abcdefgh", k=length))
        return "".join(rng.choices(LETTERS, k=length))

    def _integer(self):
        if "number" in self._recipe.varied:
            return self._rng.choice(self._integers)
        return self._rng.randrange(100)

    def _real(self):
        kinds = [lambda: self._rng.choice(FLOATS), lambda: self._rng.random()]
        if "real" in self._recipe.varied:
            kinds += [self._integer, lambda: np.float32(self._rng.random()).item()]
        return self._rng.choice(kinds)()

    def _anything(self, depth=2):
        rng = self._rng
        kinds = [self._integer, self._real, lambda: self._text("note"), lambda: None, lambda: True]
        if depth:
            kinds.append(lambda: [self._anything(depth - 1) for _ in range(rng.choice((0, 1, 3, 17)))])
            kinds.append(lambda: {self._text("note"): self._anything(depth - 1) for _ in range(rng.randrange(4))})
        return rng.choice(kinds)()

    def _value(self, name):
        rng, varied = self._rng, name in self._recipe.varied
        if name in ARRAYS:
            return None if name == "mask" and varied and rng.random() < 0.5 else self._array(name)
        if name in ("label", "note"):
            return None if name == "note" and varied and rng.random() < 0.3 else self._text(name)
        if name == "number":
            return self._integer()
        if name == "real":
            return self._real()
        if name == "flag":
            return rng.random() < 0.5
        if name == "raw":
            return rng.randbytes(rng.choice(LENGTHS) if varied else self._length)
        if name == "items":
            return [self._real() for _ in range(rng.choice((0, 2, 16)) if varied else 2)]
        if name == "info":
            return {"a": self._anything(1), **({self._text("note"): 1} if varied else {})}
        return self._anything() if varied else self._integer()

    def _payload(self):
        recipe, rng = self._recipe, self._rng
        pairs = [(name, self._value(recipe.as_of.get(name, name))) for name in recipe.names]
        oddity = rng.choice(GOOD_ODDITIES) if rng.random() < recipe.good else None
        oddity = rng.choice(BAD_ODDITIES) if rng.random() < recipe.bad else oddity
        number = rng.randrange(len(pairs)) if pairs else 0
        count = None
        if oddity == "order":
            rng.shuffle(pairs)
        elif oddity == "repeat" and pairs:
            pairs.insert(rng.randrange(len(pairs) + 1), (pairs[number][0], self._value(pairs[number][0])))
        elif oddity == "unknown":
            pairs.insert(number, (rng.choice(("unknown", "x" * 40, "é")), self._anything()))
        elif oddity == "none":
            pairs = [(name, None if name in ("mask", "note", "extra") else value) for name, value in pairs]
        elif oddity == "missing":
            pairs = [pair for pair in pairs if pair[0] in ("label", "image") or rng.random() < 0.7]
        elif oddity == "array":
            other = {name: self._layout(name) for name in ARRAYS}
            self._layouts, other = other, self._layouts
            pairs = [(name, self._array(name) if name in ARRAYS else value) for name, value in pairs]
            self._layouts = other
        elif oddity == "drop" and pairs:
            del pairs[number]
        elif oddity == "type" and pairs:
            pairs[number] = (pairs[number][0], self._value(rng.choice(sorted(CONVERT))))
        elif oddity == "damage":
            pairs = [(name, self._damaged(value) if type(value) is bytes else value) for name, value in pairs]
        elif oddity == "text":
            pairs.append((rng.choice(("label", "note", "unknown")), Raw(b"\xa3a\xffb")))
        elif oddity == "key":
            pairs.insert(number, (rng.choice((1, Raw(b"\xa1\xff"), None, 1.5)), 1))
        elif oddity == "extension":
            pairs.insert(number, ("extra", Raw(b"\xd4\x05a")))
        elif oddity == "count":
            count = max(0, len(pairs) + rng.choice((-1, 1)))
        head = self._encode.map([], count=len(pairs) if count is None else count)
        data = head + b"".join(self._key(name) + self._encode(value) for name, value in pairs)
        if oddity == "cut":
            return data[: rng.randrange(len(data))]
        if oddity == "tail":
            return data + rng.choice((b"\xc0", data))
        if oddity == "no map":
            return rng.choice((b"", b"\xc0", b"\x93\x01\x02\x03", b"\xa3abc", b"\xc1", b"\x05", b"\x90"))
        return data

    def _damaged(self, data):
        pickled = io.BytesIO()
        np.lib.format.write_array(pickled, np.array([{}], object), allow_pickle=True)
        return self._rng.choice((b"", data[:-1] + b"", data + b"\0", data[:5], b"no array", pickled.getvalue()))


# ----------------------------------------------------------------------------------------- making shards

KEYS = {
    "plain": "{:06d}".format,
    "varied": "sample-{}".format,
    "folders": lambda n: f"train/{n % 3}/x{n}",
    "dots": lambda n: f"{'ab'[n % 2]}{n}.v{n}",
    "scripts": lambda n: f"日本-{n}" if n % 3 else f"ü{n}",
    "long": lambda n: f"{'x' * (84 + n % 7)}{n:02d}",  # a name of up to 100 bytes fills its field
    "longer": lambda n: f"{'folder' * 15}/{'name' * 18}{n}",
    "hidden": lambda n: f"_{n}" if n % 2 else f"./a{n}",
}
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
TARS = ("ours", "ours", "ours with others", *FORMATS, *(f"webdataset {name}" for name in FORMATS), "archives", "cut")


def member(name, content):
    return header(name, len(content)) + content + bytes(padding(len(content)))


def our_tar(items, others=()):
    """Members by our own header function; each of ``others`` goes in front of a sample."""
    pieces = [member(f"{key}.msgpack", payload) for key, payload in items]
    for place, (name, content) in others:
        pieces.insert(place, member(name, content))
    return b"".join(pieces) + END_OF_ARCHIVE


def python_tar(items, format, rng):
    """Members by ``tarfile``, with all that other writers leave between samples."""
    out = io.BytesIO()
    strange = rng.random() < 0.5
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for key, payload in items:
            if strange and rng.random() < 0.3:
                add_other(tar, rng)
            names = [f"{key}.msgpack"]
            if strange and rng.random() < 0.3:
                beside = f"{key}.txt" if "." not in key.rpartition("/")[2] else f"{key}.cls"
                names.insert(rng.randrange(2), beside)
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(payload) if name.endswith(".msgpack") else 10
                info.mtime = rng.choice((0, 1_700_000_000, 1_700_000_000.25, rng.random() * 1e9))
                if strange:
                    info.uid, info.uname = rng.choice(((0, ""), (1000, "user"), (2_000_000, "ü")))
                    info.mode = rng.choice((0o644, 0o755))
                tar.addfile(info, io.BytesIO(payload if name.endswith(".msgpack") else bytes(10)))
        if strange and items and rng.random() < 0.3:
            tar.addfile(tarfile.TarInfo("orphan.txt"))
    return out.getvalue()


def add_other(tar, rng):
    info = tarfile.TarInfo(rng.choice(("README", ".hidden.msgpack", "folder", "__meta__.json", "folder/._x.msgpack")))
    info.type = rng.choice((tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE))
    info.linkname = "elsewhere" if info.type == tarfile.SYMTYPE else ""
    tar.addfile(info)


def webdataset_tar(items, format):
    out = io.BytesIO()
    with patch.object(tarfile.TarFile, "format", format), wds.TarWriter(out) as writer:
        for key, payload in items:
            writer.write({"__key__": key, "msgpack": payload})
    return out.getvalue()


def make_tar(kind, items, rng):
    if kind in FORMATS:
        return python_tar(items, FORMATS[kind], rng)
    if kind.startswith("webdataset"):
        return webdataset_tar(items, FORMATS[kind.split()[1]])
    if kind == "archives":
        half = len(items) // 2
        return our_tar(items[:half]) + bytes(512 * rng.randrange(3)) + our_tar(items[half:])
    if kind == "ours with others":
        name = rng.choice(("README", "__meta__.json", "dir/.hidden", ".DS_Store"))
        places = [rng.randrange(len(items) + 1) for _ in range(rng.randrange(1, 4))]
        return our_tar(items, [(place, (name, rng.randbytes(rng.choice((0, 10, 600))))) for place in places])
    data = our_tar(items)
    if kind == "ours" or not items:
        return data
    simple = all(len(header(f"{key}.msgpack", 0)) == 512 for key, _ in items)
    return data[: rng.choice((-1024, -1023, -500, rng.randrange(1, len(data)))) if simple else -1024]


class Tar(NamedTuple):
    """What decides all bytes of a shard."""

    kind: str
    keys: str
    recipe: Recipe

    def bytes(self):
        payloads = Maker(self.recipe).payloads()
        items = [(KEYS[self.keys](n), payload) for n, payload in enumerate(payloads)]
        return make_tar(self.kind, items, random.Random(self.recipe.seed))


def plain_members(data, shard):
    """Whether a sidecar can be made: headers right before each sample that say all there is to say."""
    return all(
        data[start - 512 + 257 : start - 512 + 263] == b"ustar\0"
        and not data[start - 512 + 345]
        and data[start - 512 + 124 : start - 512 + 136].strip(b"\0 ").isdigit()
        for start in shard.starts
    )


# ------------------------------------------------------------------------------------------ ways to read

# Where the engine changes its ways; drawn anew for each example, so that small shards meet all of them
SWITCHES = {
    (blocks, "_FIRST"): (256 << 10, 512, 700, 1536, 5000),
    (blocks, "_LARGEST"): (8192 << 10, 1024, 4096, 20_000),
    (blocks, "_GROUP"): (1 << 20, 1, 300),
    (gather, "_LARGE"): (32 << 10, 1, 300, 2000),
    (mapped, "_WINDOW"): (16 << 20, 512, 1024, 5000),
    (scan, "_HOP"): (16_384, 1, 600),
    (columns, "_LONG_ROW"): (16_384, 1, 64),
    (columns, "_SHORT_TEXT"): (48, 4, 300),
    (reading, "_GATHER_ROWS"): (512, 1, 5),
    (reading, "_GATHER_BYTES"): (2 << 20, 1, 3000),
    (atdata.decode, "_STEP_ROWS"): (256, 1, 3),
}


@contextlib.contextmanager
def switched(values):
    with contextlib.ExitStack() as stack:
        for (module, name), value in values.items():
            stack.enter_context(patch.object(module, name, value))
        yield


class Trickle:
    """A stream that cannot seek and returns fewer bytes than it is asked for."""

    def __init__(self, data, sizes):
        self._stream = io.BytesIO(data)
        self._sizes = itertools.cycle(sizes)

    def read(self, size=-1):
        limit = next(self._sizes)
        return self._stream.read(limit if size < 0 else min(size, limit))

    def close(self):
        self._stream.close()


class IntoTrickle(Trickle):
    def readinto(self, target):
        piece = self.read(len(target))
        target[: len(piece)] = piece
        return len(piece)


class Elsewhere:
    """A source whose shards are not files of this machine."""

    def __init__(self, shards, kind, sizes):
        self._shards = shards
        self._kind = kind
        self._sizes = sizes

    def list_shards(self):
        return list(self._shards)

    def open_shard(self, shard_id):
        return self._kind(self._shards[shard_id], self._sizes)


class Folder:
    """Shards on disk for one example. Each gets a new file, as those of another example may still be mapped."""

    numbers = itertools.count()

    def __init__(self, path):
        self._path = path
        self.paths = []

    def add(self, data, sidecar=None):
        path = self._path / f"{next(self.numbers)}.tar"
        path.write_bytes(data)
        self.paths.append(path)
        if sidecar is not None:
            path.with_name(sidecar_name(path.name)).write_bytes(sidecar)
        return path

    def clear(self):
        for path in self.paths:
            path.unlink()
            path.with_name(sidecar_name(path.name)).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    return tmp_path_factory.mktemp("shards")


def renamed(shards, names):
    """What the reference found, under other names of the shards."""
    return {
        new: shard._replace(rows=[row._replace(shard=new) for row in shard.rows])
        for shard, new in zip(shards, names, strict=True)
    }


def check_every_way(disk, tars, rng, sizes=(4096, 100, 1), batch_sizes=(1, 3, 8, 100)):
    """Read shards in every way there is and compare with the reference."""
    shards = [reference(data, "") for data in tars]
    folder = Folder(disk)
    try:
        plain = [str(folder.add(data)) for data in tars]
        check_source(plain, Expected.of(renamed(shards, plain)), rng, batch_sizes)
        indexed = []
        for data, shard in zip(tars, shards, strict=True):
            fits = shard.fault is None and plain_members(data, shard)
            lengths = [len(row.payload) for row in shard.rows]
            sidecar = sidecar_bytes(shard.starts, lengths, len(data), bytes(32)) if fits else None
            indexed.append(str(folder.add(data, sidecar)))
        check_source(indexed, Expected.of(renamed(shards, indexed)), rng, batch_sizes)
        for kind in (Trickle, IntoTrickle):
            named = {f"shard {n}": data for n, data in enumerate(tars)}
            source = Elsewhere(named, kind, rng.choices(sizes, k=5))
            check_source(source, Expected.of(renamed(shards, named)), rng, batch_sizes)
        check_wrapped([row for shard in shards for row in shard.rows], rng)
    finally:
        folder.clear()


def check_source(source, expected, rng, batch_sizes):
    for cls in (rng.choice((Mixed, Checked)), DictSample):
        dataset = Dataset[cls](source)
        check_samples(dataset, expected, cls)
        check_batches(dataset, expected, rng.choice(batch_sizes), rng)
    seed, buffer = rng.randrange(100), rng.choice((1, 5, 1000))
    options = {"buffer_samples": buffer, "seed": seed, "initial": rng.choice((1, 3, buffer))}
    orders = [check_shuffled(Dataset[cls](source).shuffled(**options), expected, cls) for cls in (Mixed, DictSample)]
    if expected.error is None and not any(row.fault for row in expected.rows):
        stored = Counter((row_form(row, Mixed), row_form(row, DictSample)) for row in expected.rows)
        assert Counter(zip(*orders, strict=True)) == stored, "the order depends on the type"
    size = rng.choice(batch_sizes)
    check_shuffled_batches(Dataset[Mixed](source).shuffled(**options, batch_size=size), expected, size)


def check_wrapped(rows, rng):
    """Samples that someone else took from a tar."""
    # only the key tells then which of them an error is about
    rows = [row._replace(offset=None, shard=None, key=f"{n}/{row.key}") for n, row in enumerate(rows)]
    keys, payloads = [row.key for row in rows], [row.payload for row in rows]
    if rows:
        check_batch(Dataset[Mixed]("x").wrap_batch({"__key__": keys, "msgpack": payloads}), rows, Mixed, rng)


# -------------------------------------------------------------------------------------------------- tests

seeds = st.integers(0, 2**32 - 1)
switches = st.just({}) | st.fixed_dictionaries({name: st.sampled_from(values) for name, values in SWITCHES.items()})


@st.composite
def recipes(draw, counts=(0, 1, 2, 3, 5, 9, 9, 17, 17, 40), bulks=(0, 0, 0, 600, 3000)):
    others = sorted({*CONVERT, "unknown"} - {"label", "image"})
    names = draw(st.permutations(["image", "label", *draw(st.sets(st.sampled_from(others), min_size=1, max_size=8))]))
    if not draw(st.integers(0, 7)):  # of two equal keys the last counts
        names.insert(draw(st.integers(0, len(names))), draw(st.sampled_from(names)))
    return Recipe(
        seed=draw(seeds),
        count=draw(st.sampled_from(counts)),
        names=names,
        forms=draw(st.sampled_from(("short", "short", "long", "any"))),
        key_forms=draw(st.sampled_from(("short", "short", "long", "any"))),
        bulk=draw(st.sampled_from(bulks)),
        varied=set(draw(st.lists(st.sampled_from([*sorted(CONVERT), "number", "image", "number"]), max_size=6))),
        good=draw(st.sampled_from((0, 0, 0, 0.1, 1))),
        bad=draw(st.sampled_from((0, 0, 0, 0, 0.03, 0.3))),
        as_of={} if draw(st.integers(0, 4)) else {draw(st.sampled_from(names)): draw(st.sampled_from(sorted(CONVERT)))},
    )


def tars(**options):
    return st.builds(Tar, st.sampled_from(TARS), st.sampled_from(sorted(KEYS)), recipes(**options))


# one sample is cut off behind the field that is damaged in a later one
CUT_BEFORE_DAMAGED = Recipe(
    seed=7564,
    count=40,
    names=["flag", "number", "unknown", "points", "extra", "items", "image", "info", "note", "label"],
    forms="short",
    key_forms="short",
    bulk=0,
    varied={"image", "note"},
    good=0,
    bad=0.03,
    as_of={},
)


@examples(250)
@example(given=[Tar("ours", "dots", CUT_BEFORE_DAMAGED)], switch={}, seed=0)
@given(given=st.lists(tars(), min_size=1, max_size=3), switch=switches, seed=seeds)
def test_every_way_to_read_gives_what_the_reference_gives(given, switch, seed, disk):
    with switched(switch):
        check_every_way(disk, [tar.bytes() for tar in given], random.Random(seed))


@examples(120)
@given(tar=tars(counts=(1, 4, 12), bulks=(31_000, 32_700, 70_000)), switch=switches, seed=seeds)
def test_samples_around_and_above_the_size_that_is_read_in_parts(tar, switch, seed, disk):
    with switched(switch):
        check_every_way(disk, [tar.bytes()], random.Random(seed), sizes=(4096, 100_000), batch_sizes=(1, 3, 5))


@pytest.mark.parametrize("write", [npy, compact], ids=["npy", "compact"])
def test_large_arrays_that_begin_at_different_places(write, disk):
    """The elements look like the header, which a careless reader takes for it."""
    image = np.arange(1, 9001) % 100
    pairs = [{"label": "x" * (n % 3), "image": write(image + n), "number": n} for n in range(8)]
    tar = our_tar([(str(n), ormsgpack.packb(data)) for n, data in enumerate(pairs)])
    for seed in range(3):
        check_every_way(disk, [tar], random.Random(seed))


@examples(80)
@given(recipe=recipes(counts=(1, 2, 9, 40)), switch=switches, seed=seeds, maxcount=st.sampled_from((None, 1, 4, 13)))
def test_what_is_written_is_what_is_read(recipe, switch, seed, maxcount, tmp_path_factory):
    fields = [read_fields(read_map(payload)) for payload in Maker(recipe).payloads()]
    samples = [Mixed(**values) for values, fault in fields if fault is None]
    if not samples:
        return
    folder = tmp_path_factory.mktemp("written")
    with switched(switch):
        dataset = atdata.write_samples(samples, folder / "data.tar", maxcount=maxcount)
        shards = {name: reference(Path(name).read_bytes(), name) for name in dataset.list_shards()}
        expected = Expected.of(shards)
        assert [form(row.fields) for row in expected.rows] == [form(vars(sample)) for sample in samples]
        check_source(dataset.source, expected, random.Random(seed), (1, 3, 8, 100))
    shutil.rmtree(folder)


# ------------------------------------------------------------------------- many samples, many fields


def plain_samples(count):
    rng = np.random.default_rng(0)
    return [
        Mixed(
            label=f"label {n}",
            image=rng.random(40, np.float32),
            number=int(rng.integers(-(2 ** (n % 63)), 2 ** (n % 63) + 1)),
            points=np.arange(n % 50, dtype=np.uint16),
            note=None if n % 7 else "ü" * (n % 90),
            raw=bytes(n % 300),
            real=n / 3,
        )
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def many():
    return plain_samples(6000)


@pytest.mark.parametrize("kind", ["ours", "webdataset pax", "webdataset gnu", "ours with others", "elsewhere"])
def test_thousands_of_samples_cross_every_border_of_blocks(kind, many, disk):
    """As the engine comes, over all sizes of its blocks; about 8 MB."""
    items = [(f"{n:06d}", sample.packed) for n, sample in enumerate(many)]
    data = make_tar("ours" if kind == "elsewhere" else kind, items, random.Random(1))
    folder = Folder(disk)
    path = str(folder.add(data))
    source = Elsewhere({"s": data}, IntoTrickle, [65_536, 1000]) if kind == "elsewhere" else path
    dataset = Dataset[Mixed](source)
    check_many(many, dataset)
    kept = list(dataset.ordered(97))
    check_many(many, [sample for batch in kept for sample in batch])
    check_many_columns(many, kept)
    check_many_columns(many, dataset.ordered(256))
    for first, second in zip(dataset.ordered(500), dataset.ordered(500), strict=True):
        np.testing.assert_array_equal(first.image, second.image)
    shuffled = list(dataset.shuffled(seed=3, buffer_samples=500, batch_size=61))
    order = [int(label.split()[1]) for batch in shuffled for label in batch.label]
    assert order != sorted(order) == list(range(len(many)))
    check_many_columns([many[n] for n in order], shuffled)
    check_many([many[n] for n in order], dataset.shuffled(seed=3, buffer_samples=500))
    folder.clear()


def check_many(samples, got):
    assert all(map(operator.eq, samples, kept := list(got)))
    assert len(kept) == len(samples)


def check_many_columns(samples, batches):
    start = 0
    for batch in batches:
        part = samples[start : start + len(batch)]
        start += len(batch)
        np.testing.assert_array_equal(batch.image, [sample.image for sample in part])
        for name in ("label", "number", "note", "raw", "real"):
            assert batch[name] == [getattr(sample, name) for sample in part]
        for array, sample in zip(batch.list("points"), part, strict=True):
            assert form(array) == form(sample.points)
    assert start == len(samples)


@pytest.mark.parametrize("count", [15, 16, 300])
@pytest.mark.parametrize("shuffled", [False, True])
def test_samples_of_many_fields(count, shuffled, disk):
    kinds = {int: lambda n: n * 1000, float: lambda n: n / 7, str: str, bool: lambda n: n % 2 == 0, NDArray: np.arange}
    names = [(f"field{n:03d}", list(kinds)[n % 5]) for n in range(count)]
    cls = atdata.packable(make_dataclass("Wide", names))
    rows = [{name: kinds[kind](row + n) for n, (name, kind) in enumerate(names)} for row in range(9)]
    rng = random.Random(count)
    payloads = []
    for row in rows:
        pairs = [(name, npy(value) if isinstance(value, np.ndarray) else value) for name, value in row.items()]
        payloads.append(ormsgpack.packb(dict(rng.sample(pairs, count) if shuffled else pairs)))
    folder = Folder(disk)
    dataset = Dataset[cls](folder.add(our_tar([(str(n), payload) for n, payload in enumerate(payloads)])))
    assert [form(vars(sample)) for sample in dataset] == [form(row) for row in rows]
    for batch, start in zip(dataset.ordered(4), (0, 4, 8), strict=True):
        for name, _ in names:
            assert form(batch.list(name)) == form([row[name] for row in rows[start : start + 4]])
    folder.clear()


# ----------------------------------------------------------------------------------------- laziness, lies


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("size", [10, 200_000])
def test_only_what_is_touched_is_decoded(shuffle, size, disk):
    """Each of the other fields is beyond reading, and a large array's elements are not even fetched."""
    payload = ormsgpack.packb(
        {
            "image": npy(np.zeros(size, np.uint8)),
            "label": "fine",
            "mask": b"no array",
            "real": "no number",
            "items": {"no": "list"},
            "raw": 5,
        }
    )
    folder = Folder(disk)
    dataset = Dataset[Mixed](folder.add(our_tar([(str(n), payload) for n in range(6)])))
    batch = next(iter(dataset.shuffled(batch_size=6) if shuffle else dataset.ordered(6)))
    never = AssertionError("elements are read that nobody asked for")
    with patch.object(os, "preadv", side_effect=never), patch.object(columns.Dense, "copy_into", side_effect=never):
        assert batch.label == ["fine"] * 6
        assert batch.number == [-1] * 6
        for name, error in {"mask": SampleDecodeError, "real": FieldMismatch, "items": FieldMismatch}.items():
            with pytest.raises(error, match=f"Mixed.{name}"):
                batch[name]
        with pytest.raises(AssertionError, match="nobody asked"):
            _ = batch.image
    assert batch.image.shape == (6, size)
    folder.clear()


def compact_vector(length, elements):
    return b"\x03<f8\x01" + struct.pack("<q", length) + elements


def npy_vector(descr, length, elements=b""):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({length},), }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + elements


LIES = {
    "size wraps to 0": (compact_vector(1, bytes(8)), compact_vector(2**61, b"")),
    "negative size wraps to 0": (compact_vector(1, bytes(8)), compact_vector(-(2**61), b"")),
    "size wraps to 8": (compact_vector(1, bytes(8)), compact_vector(2**61 + 1, bytes(8))),
    "negative": (compact_vector(1, bytes(8)), compact_vector(-1, bytes(8))),
    "npy size wraps to 0": (npy_vector("|V1073741824", 0), npy_vector("|V1073741824", 2**34)),
    "npy zero in front": (npy_vector("<f8", 1, bytes(8)), npy_vector("<f8", "01", bytes(8))),
    "npy space behind": (npy_vector("<f8", 1, bytes(8)), npy_vector("<f8", "1 ", bytes(8))),
    "npy negative": (npy_vector("<f8", 1, bytes(8)), npy_vector("<f8", "-1", bytes(8))),
    "npy bool": (npy_vector("<f8", 1, bytes(8)), npy_vector("<f8", "True", bytes(8))),
    "npy beyond 64 bits": (npy_vector("<f8", 1, bytes(8)), npy_vector("<f8", 2**64, bytes(8))),
}


@pytest.mark.parametrize(("good", "lie"), LIES.values(), ids=LIES)
def test_lengths_that_lie_are_the_same_error_among_others_as_alone(good, lie, disk):
    payloads = [ormsgpack.packb({"label": "", "image": data}) for data in (good, lie, good)]
    folder = Folder(disk)
    path = str(folder.add(our_tar([(str(n), payload) for n, payload in enumerate(payloads)])))
    alone, error = drained(map(Mixed.from_bytes, payloads))
    got, fault = drained(Dataset[Mixed](path))
    assert list(map(sample_form, got)) == list(map(sample_form, alone))
    assert type(fault) is type(error)
    batch = next(iter(Dataset[Mixed](path).ordered(3)))
    if error is None:
        assert form(batch.list("image")) == form([sample.image for sample in alone])
    else:
        assert fault.key == "1"
        with pytest.raises(type(error)):
            batch.list("image")
    folder.clear()
