"""Shards that were damaged at random, read in every way: right samples, or an error that says where.

What a damaged shard should give is decided by the plainest way through the package, one member and one sample at a
time; all others must agree with it. What that one gives is checked against what the shard held before. Each mutation
is known by its shard, its number and the seed. ``ATDATA_FUZZ=50`` makes fifty times as many, under another seed each
time unless ``ATDATA_FUZZ_SEED`` says which.
"""

import contextlib
import io
import itertools
import os
import random
import resource
import secrets
import signal
import struct
import subprocess
import sys
import tarfile
import warnings
from collections import Counter
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ormsgpack
import pytest
import webdataset as wds
from forms import drained, form
from numpy.typing import NDArray

import atdata
from atdata import Dataset, DictSample
from atdata.errors import AtdataError, SampleDecodeError, ShardCorrupted
from atdata.manifest.sidecar import sidecar_bytes, sidecar_name
from atdata.sample import plan_of
from atdata.shard.array import array_to_bytes
from atdata.shard.payload import unpack_map
from atdata.shard.reader import Record, read_records
from atdata.shard.tar import END_OF_ARCHIVE, TarReader, header, padding

FUZZ = int(os.environ.get("ATDATA_FUZZ", "1"))
SEED = os.environ.get("ATDATA_FUZZ_SEED") or ("0" if FUZZ == 1 else secrets.token_hex(4))
MUTATIONS = 200 * FUZZ  # of each shard
SECONDS = 30  # for one of them, which takes a hundredth of one
MEBIBYTE = 1 << 20


@atdata.packable
class Sample:
    image: NDArray
    label: str
    number: int
    real: float
    points: NDArray | None = None
    note: str | None = "none"
    raw: bytes = b""
    items: list[int] = field(default_factory=list)


PLAN = plan_of(Sample)

# ---------------------------------------------------------------------------------------- undamaged shards


def sample_of(n, **changes):
    values = {
        "image": np.arange(n, n + 12, dtype=np.float32).reshape(3, 4),
        "label": f"label {n}",
        "number": n * 77,
        "real": n / 3,
        "points": np.arange(5, dtype=np.int16),
        "note": None,
        "raw": bytes([n]) * 9,
        "items": [],
    }
    return Sample(**{**values, **changes})


def like():
    return [sample_of(n).packed for n in range(8)]


def ragged():
    return [
        sample_of(
            n, image=np.arange(n * 9 % 20, dtype=np.int32), label="ü" * n, number=10 ** (n * 2), points=None
        ).packed
        for n in range(8)
    ]


def compact():
    payloads = []
    for n in range(8):
        elements = np.arange(1 + n % 4, dtype="<f8")
        image = b"\x03<f8\x01" + struct.pack("<q", len(elements)) + elements.tobytes()
        payloads.append(ormsgpack.packb({"label": "a" * n, "image": image, "number": n, "real": 0.5, "unknown": "x"}))
    return payloads


def varied():
    payloads = []
    for n in range(8):
        image = np.asfortranarray(np.ones((2, 3))) if n % 2 else np.arange(n, dtype=">u2")
        data = {"label": str(n), "image": array_to_bytes(image), "number": -n, "real": n, "items": [n] * n}
        order = sorted(data) if n % 3 else list(data)
        payloads.append(ormsgpack.packb({name: data[name] for name in order}))
    return payloads


def large():
    rng = np.random.default_rng(0)
    return [sample_of(n, image=rng.integers(0, 255, (60, 600), np.uint8)).packed for n in range(3)]


def ours(payloads, name="{:04d}.msgpack", other=b""):
    pieces = [member(name.format(n), payload) + other for n, payload in enumerate(payloads)]
    return b"".join(pieces) + END_OF_ARCHIVE


def member(name, content):
    return header(name, len(content)) + content + bytes(padding(len(content)))


def pythons(payloads, format, name):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for n, payload in enumerate(payloads):
            info = tarfile.TarInfo(name.format(n))
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    return out.getvalue()


def webdatasets(payloads):
    out = io.BytesIO()
    with wds.TarWriter(out, mtime=1_700_000_000.25) as writer:
        for n, payload in enumerate(payloads):
            writer.write({"__key__": f"{n:04d}", "msgpack": payload})
    return out.getvalue()


SHARDS = {
    "like": lambda: ours(like()),
    "ragged": lambda: ours(ragged()),
    "compact": lambda: ours(compact()),
    "varied": lambda: ours(varied()),
    "large": lambda: ours(large()),
    "webdataset": lambda: webdatasets(like()),
    "beside": lambda: ours(ragged(), other=member("README", b"of nothing")),
    "prefix": lambda: pythons(like(), tarfile.USTAR_FORMAT, "folder" * 12 + "/" + "name" * 10 + "{}.msgpack"),
    "gnu": lambda: pythons(ragged(), tarfile.GNU_FORMAT, "name" * 30 + "{}.msgpack"),
    "pax": lambda: pythons(varied(), tarfile.PAX_FORMAT, "é" * 70 + "{}.msgpack"),
}

# ----------------------------------------------------------------------------------------------- mutations

HEADS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
FIELDS = {
    "name": (0, 100),
    "size": (124, 12),
    "checksum": (148, 8),
    "kind": (156, 1),
    "magic": (257, 8),
    "prefix": (345, 155),
}
EXTREMES = (0, 1, 0x7F, 0x80, 0xC0, 0xC1, 0xFE, 0xFF)


class Mutator:
    """Changes a shard in place.

    Args:
        shard: the shard.
        rng: decides how.
    """

    def __init__(self, shard, rng):
        self._data = bytearray(shard)
        self._rng = rng
        self._headers = header_offsets(shard)

    def mutated(self):
        steps = [self._flip, self._header_byte, self._header_field, self._length, self._digits, self._payload_byte]
        steps += [self._swap, self._repeat, self._delete, self._insert, self._truncate, self._overwrite]
        for _ in range(self._rng.choice((1, 1, 1, 1, 2, 4))):
            self._rng.choice(steps)()
        return bytes(self._data)

    def _place(self, width=1):
        return self._rng.randrange(max(1, len(self._data) - width + 1))

    def _header(self):
        inside = [start for start in self._headers if start + 512 <= len(self._data)]
        return self._rng.choice(inside or [0])

    def _put(self, start, new):
        self._data[start : start + len(new)] = new[: max(0, len(self._data) - start)]

    def _flip(self):
        for _ in range(self._rng.choice((1, 1, 3, 20))):
            if self._data:
                self._data[self._place()] ^= 1 << self._rng.randrange(8)

    def _header_byte(self):
        self._put(self._header() + self._rng.randrange(512), bytes([self._rng.choice((*EXTREMES, 0x20, 0x30, 0x37))]))

    def _header_field(self):
        rng, start = self._rng, self._header()
        offset, width = FIELDS[rng.choice(("size", "size", *FIELDS))]
        value = rng.choice((0, 1, 511, 512, 1024, rng.randrange(1 << 16), 8**11 - 1, rng.randrange(1 << 60)))
        forms = [b"%0*o\0" % (width - 1, value), b"%*o " % (width - 1, value), b"\x80" + value.to_bytes(11, "big")]
        forms += [rng.randbytes(width), bytes(width), rng.choice((b"x", b"g", b"L", b"K", b"5", b"S", b"\0", b"7"))]
        self._put(start + offset, rng.choice(forms)[:width])
        if rng.random() < 0.7 and start + 512 <= len(self._data):  # a lie that no checksum tells
            block = self._data[start : start + 512]
            self._put(start + 148, b"%06o\0 " % (sum(block) - sum(block[148:156]) + 256))

    def _payload_byte(self):
        """A byte near the start of a member's content, where heads and names are."""
        self._put(self._header() + 512 + self._rng.randrange(60), bytes([self._rng.randrange(256)]))

    def _length(self):
        """One of msgpack's lengths, or what looks like one."""
        start = self._place()
        for place in range(start, min(start + 2000, len(self._data))):
            width = HEADS.get(self._data[place])
            if width is not None:
                value = self._rng.choice((0, 1, 200, (1 << 8 * width) - 1, self._rng.randrange(1 << 8 * width)))
                self._put(place + 1, (value % (1 << 8 * width)).to_bytes(width, "big"))
                return

    def _digits(self):
        """A number in a header of an array."""
        start = self._data.find(b"'shape': (", self._place())
        if start > 0:
            text = self._rng.choice((b"9", b"0", b"99999", b"-1", b"(", b"1, 2", b"4,", b"99999999999", b"03,), }"))
            self._put(start + 10, text)

    def _swap(self):
        width = self._rng.choice((1, 8, 512, 1024))
        first, second = self._place(width) // width * width, self._place(width) // width * width
        a, b = bytes(self._data[first : first + width]), bytes(self._data[second : second + width])
        if len(a) == len(b):
            self._put(first, b)
            self._put(second, a)

    def _repeat(self):
        width = self._rng.choice((512, 1024, 1536))
        start = self._place() // 512 * 512
        self._data[start:start] = self._data[start : start + width]

    def _delete(self):
        width = self._rng.choice((1, 7, 512, 1024, 5000))
        start = self._place(width) // width * width
        del self._data[start : start + width]

    def _insert(self):
        start = self._place()
        width = self._rng.choice((1, 7, 512, 1536))
        start = start // 512 * 512 if width >= 512 else start
        self._data[start:start] = self._rng.choice((bytes(width), self._rng.randbytes(width)))

    def _truncate(self):
        del self._data[self._place() :]

    def _overwrite(self):
        width = self._rng.choice((4, 64, 512))
        source = self._place()
        new = self._rng.choice((bytes(width), b"\xff" * width, self._rng.randbytes(width), self._data[source:][:width]))
        self._put(self._place(), bytes(new))


def header_offsets(shard):
    """Where the headers of a good shard are, extended ones too, each of which has content of a block here."""
    return sorted({place for item in TarReader(io.BytesIO(shard)) for place in (item.offset, item.start - 512)})


# --------------------------------------------------------------------------------- what should come of it


class Bad(NamedTuple):
    kind: type[AtdataError]


class Row(NamedTuple):
    """A sample, read by itself.

    Attributes:
        record: its bytes, and where they were.
        stored: the map that they hold, or ``Bad``.
        fields: each field of ``Sample``, or ``Bad``.
        fault: class of the error that the whole sample gives, or None.
    """

    record: Record
    stored: Any
    fields: dict[str, Any]
    fault: type[AtdataError] | None


class Found(NamedTuple):
    """What a shard holds, up to what is wrong with the shard itself."""

    rows: list[Row]
    error: AtdataError | None


def caught(function, *args):
    """What a call returns, or the class of the error that it raises."""
    try:
        return function(*args)
    except AtdataError as error:
        return Bad(type(error))


def row_of(record):
    stored = caught(unpack_map, record.payload)
    whole = caught(Sample.from_bytes, record.payload)
    if isinstance(stored, Bad):
        fields = dict.fromkeys(PLAN.by_name, stored)
    else:
        fields = {
            name: caught(PLAN.unpack_field, plan, stored[name]) if name in stored else caught(PLAN.missing, plan)
            for name, plan in PLAN.by_name.items()
        }
    return Row(record, stored, fields, whole.kind if isinstance(whole, Bad) else None)


def one_by_one(shard):
    records, error = drained(read_records(io.BytesIO(shard), "s.tar"))
    return Found([*map(row_of, records)], error)


def row_form(row, cls):
    return form(row.stored) if cls is DictSample else tuple(form(row.fields[name]) for name in PLAN.by_name)


def sample_form(sample):
    if isinstance(sample, DictSample):
        return form(sample.to_dict())
    return tuple(form(getattr(sample, name)) for name in PLAN.by_name)


def check_plain(found, shard, original, good):
    """The plain reading: what was not touched is as it was, and no damaged header is believed."""
    assert found.error is None or found.error.shard == "s.tar"
    if len(shard) != len(original):
        return
    touched = np.flatnonzero(np.frombuffer(shard, np.uint8) != np.frombuffer(original, np.uint8))
    first = int(touched[0]) if len(touched) else len(shard)
    whole = [row for row in good.rows if row.record.offset + 512 * 8 + len(row.record.payload) <= first]
    assert [row.record for row in found.rows[: len(whole)]] == [row.record for row in whole]
    for offset in header_offsets(original):
        block = shard[offset : offset + 512]
        if block == original[offset : offset + 512]:
            continue
        if has_checksum(block) or not any(block):
            break  # from here on it may be another shard
        assert found.error is not None, f"the header at {offset} is damaged"
        assert found.error.offset <= offset
        assert all(row.record.offset < offset for row in found.rows)
        break


def has_checksum(block):
    with contextlib.suppress(ValueError):
        stated = int(block[148:156].split(b"\0")[0].strip() or b"0", 8)
        rest = block[:148] + b" " * 8 + block[156:]
        return stated in (sum(rest), sum(byte - 256 if byte > 127 else byte for byte in rest))
    return block[148] == 0x80


def place_of(error):
    return None if error is None else (type(error), error.key, error.offset)


def fault_of(row, cls):
    if cls is DictSample:
        return row.stored.kind if isinstance(row.stored, Bad) else None
    return row.fault


def check_samples(stream, found, cls):
    got, error = drained(stream)
    bad = next((n for n, row in enumerate(found.rows) if fault_of(row, cls)), None)
    assert list(map(sample_form, got)) == [row_form(row, cls) for row in found.rows[:bad]]
    if bad is None:
        assert place_of(error) == place_of(found.error), error
    else:
        row = found.rows[bad]
        assert place_of(error) == (fault_of(row, cls), row.record.key, row.record.offset), error


def check_shuffled(stream, found, cls):
    got, error = drained(stream)
    places = {(fault_of(row, cls), row.record.key, row.record.offset) for row in found.rows if fault_of(row, cls)}
    good = Counter(row_form(row, cls) for row in found.rows if not fault_of(row, cls))
    assert Counter(map(sample_form, got)) <= good
    if error is None:
        assert found.error is None
        assert len(got) == len(found.rows)
    else:
        assert place_of(error) in {*places, place_of(found.error)}, error


def check_batches(stream, found, size):
    got, error = drained(stream)
    assert place_of(error) == place_of(found.error), error
    full = len(found.rows) // size if found.error else -(-len(found.rows) // size)
    assert len(got) == full
    for number, batch in enumerate(got):
        rows = found.rows[number * size : (number + 1) * size]
        assert len(batch) == len(rows)
        for name in PLAN.by_name:
            check_column(batch, rows, name)


def check_column(batch, rows, name):
    try:
        values = batch.list(name)
    except AtdataError as error:
        check_column_error(error, rows, name)
        return
    for value, row in zip(values, rows, strict=True):
        if not isinstance(row.stored, Bad):
            assert form(value) == form(row.fields[name]), name
    with contextlib.suppress(AtdataError):
        assert len(batch[name]) == len(rows)


def check_column_error(error, rows, name):
    """It is about the first bad value, or about a sample before it that is bad as a whole."""
    for row in rows:
        bad, whole = row.fields[name], isinstance(row.stored, Bad)
        if isinstance(bad, Bad) and (error.key, error.offset) == (row.record.key, row.record.offset):
            # of a sample that is cut off, what was read may be of the wrong type, too
            assert isinstance(error, SampleDecodeError) if whole else type(error) is bad.kind
            return
        assert whole or not isinstance(bad, Bad), f"{error}, but {row.record.key} comes before it"
    raise AssertionError(f"{error} is about a sample that is good") from error


# ------------------------------------------------------------------------------------------- ways to read


class Trickle:
    """A stream that cannot seek and returns fewer bytes than it is asked for."""

    def __init__(self, data):
        self._stream = io.BytesIO(data)
        self._sizes = itertools.cycle((4000, 100, 9000, 513))

    def readinto(self, target):
        return self._stream.readinto(target[: next(self._sizes)])

    def read(self, size=-1):
        limit = next(self._sizes)
        return self._stream.read(limit if size < 0 else min(limit, size))

    def close(self):
        self._stream.close()


class Elsewhere:
    def __init__(self, data):
        self._data = data

    def list_shards(self):
        return ["s.tar"]

    def open_shard(self, shard_id):
        return Trickle(self._data)


def check_every_way(path, shard, found):
    for source in (str(path), Elsewhere(shard)):
        typed, untyped = Dataset[Sample](source), Dataset(source)
        check_samples(typed, found, Sample)
        check_samples(untyped, found, DictSample)
        check_batches(typed.ordered(3), found, 3)
        check_batches(typed.ordered(100), found, 100)
        check_shuffled(typed.shuffled(seed=1), found, Sample)
        check_shuffled(untyped.shuffled(seed=2, buffer_samples=2), found, DictSample)
        batches, error = drained(typed.shuffled(seed=3, batch_size=3))
        check_shuffled_batches(batches, error, found)


def check_shuffled_batches(batches, error, found):
    at = {(row.record.key, row.record.offset): row for row in found.rows}
    count = 0
    for batch in batches:
        places = [chunk.where(n) for chunk, low, high in batch._pieces for n in range(low, high)]
        rows = [at[place.key, place.offset] for place in places]
        count += len(rows)
        for name in PLAN.by_name:
            check_column(batch, rows, name)
    assert place_of(error) == place_of(found.error), error
    assert error is not None or count == len(found.rows)


class TooSlow(BaseException):
    """A mutation keeps a reader busy for longer than it may."""


@contextlib.contextmanager
def in_time():
    def late(signum, frame):
        raise TooSlow(f"over {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Trials:
    """Runs many mutations and reports the first few that fail, and how the others end."""

    def __init__(self, kind):
        self._kind = kind
        self._failures = []
        self.outcomes = Counter()
        self._memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def __iter__(self):
        for number in range(MUTATIONS):
            yield number, random.Random(f"{self._kind} {SEED} {number}")
            if len(self._failures) == 10:
                return

    @contextlib.contextmanager
    def trial(self, number):
        try:
            with in_time(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", r".*\.index is ignored", UserWarning)
                warnings.filterwarnings("ignore", "invalid value encountered in cast", RuntimeWarning)
                yield
        except (Exception, TooSlow) as error:
            error.add_note(f"This is mutation {number} of shard {self._kind!r} with ATDATA_FUZZ_SEED={SEED}")
            self._failures.append(error)

    def finish(self):
        print(
            f"{self._kind}, seed {SEED}: " + ", ".join(f"{count} {what}" for what, count in self.outcomes.most_common())
        )
        if self._failures:
            raise BaseExceptionGroup(f"of {sum(self.outcomes.values())} mutations", self._failures)
        unit = 1 if sys.platform == "darwin" else 1024
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self._memory) * unit
        assert grown < 100 * MEBIBYTE, f"reading shards of a few kilobytes took {grown // MEBIBYTE} MiB"


def outcome(found, good):
    if found.error is not None:
        return type(found.error).__name__
    faults = [row.fault for row in found.rows if row.fault]
    if faults:
        return faults[0].__name__
    same = [row.record.payload for row in found.rows] == [row.record.payload for row in good.rows]
    return "unchanged" if same else "other samples"


def fresh(folder, shard, numbers=itertools.count()):  # noqa: B008 - counts on
    """A new file each time: the last one may still be mapped."""
    path = folder / f"{next(numbers)}.tar"
    path.write_bytes(shard)
    return path


@pytest.mark.parametrize("kind", SHARDS)
def test_a_damaged_shard_gives_right_samples_or_an_error_that_says_where(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    original = SHARDS[kind]()
    good = one_by_one(original)
    assert good.error is None
    trials = Trials(kind)
    for number, rng in trials:
        shard = Mutator(original, rng).mutated()
        with trials.trial(number):
            found = one_by_one(shard)
            trials.outcomes[outcome(found, good)] += 1
            check_plain(found, shard, original, good)
            path = fresh(tmp_path, shard)
            try:
                check_every_way(path, shard, found)
            finally:
                path.unlink()
    trials.finish()


def with_sidecar(folder, shard, rows):
    path = fresh(folder, shard)
    starts = [row.record.offset + 512 for row in rows]
    sizes = [len(row.record.payload) for row in rows]
    index = path.with_name(sidecar_name(path.name))
    index.write_bytes(sidecar_bytes(starts, sizes, len(shard), bytes(32)))
    return path, index


@pytest.mark.parametrize("kind", ["like", "ragged", "varied", "large"])
def test_a_damaged_shard_is_not_believed_because_of_its_sidecar(kind, tmp_path):
    """Sizes stay the same, so that the sidecar is used."""
    original = SHARDS[kind]()
    good = one_by_one(original)
    trials = Trials(kind)
    for number, rng in trials:
        shard = Mutator(original, rng).mutated()
        shard = shard[: len(original)] + original[len(shard) :]
        rows = [row_of(row.record._replace(payload=cut_out(shard, row.record))) for row in good.rows]
        broken = {row.record.offset for row in rows if not same_header(shard, original, row.record)}
        with trials.trial(number):
            trials.outcomes["header" if broken else "payload" if any(row.fault for row in rows) else "unnoticed"] += 1
            path, index = with_sidecar(tmp_path, shard, good.rows)
            try:
                for cls, shuffle in itertools.product((Sample, DictSample), (False, True)):
                    dataset = Dataset[cls](str(path))
                    got, error = drained(dataset.shuffled(seed=1) if shuffle else dataset)
                    allowed = Counter(row_form(row, cls) for row in rows if not fault_of(row, cls))
                    if shuffle:
                        assert Counter(map(sample_form, got)) <= allowed
                        assert error is not None or len(got) == len(rows)
                        assert not broken or isinstance(error, AtdataError)
            finally:
                path.unlink()
                index.unlink()
    trials.finish()


def cut_out(shard, record):
    return shard[record.offset + 512 : record.offset + 512 + len(record.payload)]


def same_header(shard, original, record):
    block = shard[record.offset : record.offset + 512]
    return block == original[record.offset : record.offset + 512] or has_checksum(block)


@pytest.mark.parametrize("kind", ["like", "large"])
def test_a_damaged_sidecar_gives_right_samples_or_an_error(kind, tmp_path):
    """What it says cannot be checked in full; but where there is no sample, none comes out."""
    original = SHARDS[kind]()
    good = one_by_one(original)
    wanted = {row_form(row, Sample) for row in good.rows}
    trials = Trials(f"{kind} sidecar")
    for number, rng in trials:
        path, index = with_sidecar(tmp_path, original, good.rows)
        index.write_bytes(damaged_sidecar(index.read_bytes(), rng))
        with trials.trial(number):
            for stream in (Dataset[Sample](str(path)), Dataset[Sample](str(path)).shuffled(seed=1)):
                got, error = drained(stream)
                assert {*map(sample_form, got)} <= wanted
                assert error is None or isinstance(error, ShardCorrupted)
            trials.outcomes[type(error).__name__ if error else "read"] += 1
        path.unlink()
        index.unlink()
    trials.finish()


def damaged_sidecar(data, rng):
    data = bytearray(data)
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(data[: rng.randrange(len(data))])
    if kind == 1:
        place = 56 + 8 * rng.randrange((len(data) - 56) // 8)
        value = rng.choice((0, 1, 512, 1 << 62, (1 << 64) - 512, rng.randrange(1 << 16)))
        data[place : place + 8] = struct.pack("<Q", value)
    else:
        for _ in range(rng.choice((1, 5))):
            data[rng.randrange(len(data)) if kind == 2 else rng.randrange(56, len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


# -------------------------------------------------------------------------------------------------- memory

READ = """
import pathlib, resource, sys
import atdata
from atdata.errors import AtdataError
from numpy.typing import NDArray

@atdata.packable
class Sample:
    image: NDArray
    label: str

class Elsewhere:
    def list_shards(self):
        return ["s"]
    def open_shard(self, shard):
        stream = open(sys.argv[1], "rb")
        return type("Stream", (), {"read": stream.read, "close": stream.close})()

def peak():
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # getrusage() also counts what the process was before it became this program
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

def read(stream):
    try:
        for batch in stream:
            batch.label, batch.image, batch.samples
    except AtdataError as error:
        return type(error).__name__
    return "nothing"

read(atdata.Dataset[Sample](sys.argv[3]).ordered(1))  # everything is imported
dataset = atdata.Dataset[Sample](Elsewhere() if sys.argv[2] == "elsewhere" else sys.argv[1])
before = peak()
error = read(dataset.shuffled(batch_size=1) if sys.argv[2] == "shuffled" else dataset.ordered(1))
print(error, peak() - before)
"""
BIG = 24 * MEBIBYTE


def lying_header(size):
    block = bytearray(header("0.msgpack", 0))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + random.Random(0).randbytes(BIG)


def lying_payload(start):
    return member("0.msgpack", start + b"\xc1" * BIG) + END_OF_ARCHIVE  # no value of msgpack begins like that


LIES = {
    "octal size": lambda: lying_header(b"77777777777\0"),
    "binary size": lambda: lying_header(b"\x80" + (1 << 62).to_bytes(11, "big")),
    "extended header": lambda: member("x", bytes(BIG)).replace(b"0ustar", b"xustar", 1),
    "text size": lambda: lying_payload(b"\x82\xa5image\xc4\x00\xa5label\xdb\xff\xff\xff\xff"),
    "array size": lambda: lying_payload(b"\x82\xa5label\xa0\xa5image\xc4\x0d\x03<f8\x01" + struct.pack("<q", 1 << 40)),
    "list size": lambda: lying_payload(b"\x82\xa5label\xa0\xa5image\xdd\xff\xff\xff\xff"),
    "map size": lambda: lying_payload(b"\xdf\xff\xff\xff\xff"),
    "nothing": lambda: ours([ormsgpack.packb({"image": array_to_bytes(np.zeros(BIG, np.uint8)), "label": ""})]),
}


@pytest.mark.parametrize("way", ["ordered", "shuffled", "elsewhere"])
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_sizes_takes_no_more_memory_than_three_times_the_shard(lie, way, tmp_path):
    path, small = tmp_path / "s.tar", tmp_path / "small.tar"
    small.write_bytes(ours(like()))
    path.write_bytes(LIES[lie]())
    paths = os.pathsep.join(map(str, (Path(atdata.__file__).parents[1], *sys.path)))
    python = [sys.executable, "-c", READ, str(path), way, str(small)]
    done = subprocess.run(python, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    error, grown = done.stdout.split()
    print(f"{lie}, {way}: {error}, {int(grown) / MEBIBYTE:.0f} MiB")
    assert (error == "nothing") == (lie == "nothing")
    assert int(grown) <= 3 * BIG + 10 * MEBIBYTE
