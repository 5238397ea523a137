"""Damaged and hostile shards, read through ``Dataset``: samples or a clean error, never anything else."""

import collections
import contextlib
import io
import random
import struct
import tracemalloc
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata.decode import View
from atdata.errors import AtdataError, RaggedBatch, SampleDecodeError, ShardCorrupted
from atdata.sample import values_equal
from atdata.shard.array import array_to_bytes
from atdata.shard.reader import read_records
from atdata.shard.tar import BLOCK, END_OF_ARCHIVE, header, padding


@atdata.packable
class Flat:
    """All of its fields can be found in many samples at once."""

    image: NDArray[np.float32]
    mask: NDArray | None
    score: float
    flag: bool
    number: int
    small: np.int16
    label: str
    raw: bytes
    side: Literal["left", "right"] = "left"


@atdata.packable
class Nested:
    """Some of its fields need to be unpacked sample by sample."""

    vector: NDArray
    words: list[str]
    extra: dict[str, int]
    arrays: list[NDArray]
    anything: Any = None


SAMPLES: dict[type, list[Any]] = {
    Flat: [
        Flat(np.arange(4, dtype=np.float32), np.eye(2, dtype=bool), 0.5, True, 3, np.int16(-7), "first", b"\x00\xff"),
        Flat(np.ones(4, np.float32), np.zeros((2, 2), bool), -1.5, False, 200, np.int16(7), "zweité", b"", "right"),
        Flat(np.zeros(4, np.float32), np.ones((2, 2), bool), 1e300, True, -1, np.int16(0), "", b"xyz"),
    ],
    Nested: [
        Nested(np.arange(3, dtype=">i2"), ["a", "ü"], {"x": 1}, [np.zeros(2, "<M8[s]")]),
        Nested(np.array(1.5), [], {}, [], [None, {"k": [1, 2.5, b"x"]}]),
    ],
}
TYPES = pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)


class Held:
    """A source of one shard that is held in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def list_shards(self) -> list[str]:
        return ["s.tar"]

    def open_shard(self, shard_id: str) -> IO[bytes]:
        return io.BytesIO(self._data)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[type, bytes]:
    folder = tmp_path_factory.mktemp("good")
    made = {}
    for kind, samples in SAMPLES.items():
        atdata.write_samples(samples, folder / "s.tar", key=lambda number, _: f"key{number}", overwrite=True)
        made[kind] = (folder / "s.tar").read_bytes()
    return made


def outcome(samples: Iterable[Any]) -> tuple[list[Any], tuple[Any, ...] | None]:
    """The samples before the first error of ours, and which error at which place that was."""
    found: list[Any] = []
    try:
        found.extend(samples)
    except AtdataError as error:
        return found, (type(error).__name__, error.shard, error.key, error.offset, error.field)
    return found, None


def one_by_one(data: bytes, kind: Any, shard: str = "s.tar") -> Iterable[Any]:
    """The samples as the simplest reader gets them."""
    for record in read_records(io.BytesIO(data), shard):
        try:
            yield View(kind).from_payload(record.payload)
        except AtdataError as error:
            error.at(shard=record.shard, key=record.key, offset=record.offset)
            raise


def check(data: bytes, kind: Any, what: str) -> bool:
    """Read a damaged shard; it must be as the simplest reader says. Returns whether it was read to the end."""
    try:
        expected = outcome(one_by_one(data, kind))
        assert outcome(atdata.Dataset[kind](Held(data))) == expected
    except Exception as error:
        error.add_note(f"the shard had {what}")
        raise
    return expected[1] is None


def rows_of(batches: Iterable[Any], kind: Any) -> Iterable[Any]:
    """The samples that the columns of batches make, after all ways to get a column have been tried."""
    names = list(kind.__dataclass_fields__)
    for batch in batches:
        columns = {name: batch.list(name) for name in names}
        for name in names:
            with contextlib.suppress(RaggedBatch):
                column = getattr(batch, name)
                expected = np.stack(columns[name]) if isinstance(column, np.ndarray) else columns[name]
                assert values_equal(column, expected)
        yield from (kind(**dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True))


def check_batches(data: bytes, kind: Any, what: str) -> None:
    """Read all columns of a damaged shard: what comes is what the samples have, or an error where they have one."""
    expected, fault = outcome(one_by_one(data, kind))
    try:
        rows, error = outcome(rows_of(atdata.Dataset[kind](Held(data)).ordered(batch_size=2), kind))
        assert rows == expected[: len(rows)]
        assert (error is None) == (fault is None)
        assert error is not None or len(rows) == len(expected)
    except Exception as unexpected:
        unexpected.add_note(f"the shard had {what}")
        raise


@pytest.fixture(autouse=True)
def no_warnings() -> Any:
    """What a damaged header holds may be something that Python or NumPy has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@TYPES
def test_a_good_shard_is_read_to_the_end(kind: Any, shards: dict[type, bytes]) -> None:
    assert outcome(atdata.Dataset[kind](Held(shards[kind]))) == (SAMPLES[kind], None)
    check_batches(shards[kind], kind, "nothing wrong")


@TYPES
def test_every_flipped_byte_gives_samples_or_a_clean_error(kind: Any, shards: dict[type, bytes]) -> None:
    good = shards[kind]
    read = 0
    for place in range(len(good)):
        data = bytearray(good)
        data[place] ^= (0xFF, 0x01, 0x80)[place % 3]
        read += check(bytes(data), kind, f"byte {place} flipped")
    assert 0 < read < len(good)


@TYPES
def test_every_truncation_gives_the_samples_before_it_and_a_clean_error(kind: Any, shards: dict[type, bytes]) -> None:
    good = shards[kind]
    for length in range(len(good)):
        whole = check(good[:length], kind, f"{length} bytes")
        assert whole == (length in (len(good) - BLOCK,))


def _bytes_changed(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.choice([0, 0xFF, 0x80, 0xC1, 0xDD, 0xDF, 0xC6, 0x30, rng.randrange(256)])


def _bytes_removed(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice([1, 3, BLOCK])]


def _bytes_added(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:start] = rng.randbytes(rng.choice([1, 3, BLOCK]))


def _blocks_exchanged(data: bytearray, rng: random.Random) -> None:
    one, other = (BLOCK * rng.randrange(len(data) // BLOCK) for _ in range(2))
    data[one : one + BLOCK], data[other : other + BLOCK] = data[other : other + BLOCK], data[one : one + BLOCK]


def _stretch_repeated(data: bytearray, rng: random.Random) -> None:
    start, target, length = rng.randrange(len(data)), rng.randrange(len(data)), rng.randrange(1, 600)
    data[target : target + length] = data[start : start + length]


def _header_changed(data: bytearray, rng: random.Random) -> None:
    """Another field in a header whose checksum is right again."""
    start = BLOCK * rng.randrange(len(data) // BLOCK)
    block = data[start : start + BLOCK]
    place = rng.choice([0, 99, *range(124, 136), 156, 257, 263, 345])
    block[place] = rng.choice([0, 0x20, 0x30, 0x37, 0x38, 0x80, 0xFF, *b"1257xgLKSV/."])
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    data[start : start + BLOCK] = block


DAMAGES: list[Callable[[bytearray, random.Random], None]] = [
    _bytes_changed,
    _bytes_removed,
    _bytes_added,
    _blocks_exchanged,
    _stretch_repeated,
    _header_changed,
]


@TYPES
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_random_damage_gives_samples_or_a_clean_error(
    kind: Any, damage: Callable[[bytearray, random.Random], None], shards: dict[type, bytes]
) -> None:
    outcomes = collections.Counter()
    for seed in range(250):
        data = bytearray(shards[kind])
        damage(data, random.Random(seed))
        what = f"{damage.__name__} with seed {seed}"
        outcomes[check(bytes(data), kind, what)] += 1
        check_batches(bytes(data), kind, what)
    assert outcomes[False] > 10


def shard_of(*payloads: bytes) -> bytes:
    members = (
        header(f"key{n}.msgpack", len(data)) + data + bytes(padding(len(data))) for n, data in enumerate(payloads)
    )
    return b"".join(members) + END_OF_ARCHIVE


@TYPES
def test_damaged_payloads_give_samples_or_a_clean_error(kind: Any, shards: dict[type, bytes]) -> None:
    payloads = [record.payload for record in read_records(io.BytesIO(shards[kind]), "s.tar")]
    outcomes = collections.Counter()
    for seed in range(800):
        rng = random.Random(seed)
        damaged = [bytearray(payload) for payload in payloads]
        for payload in damaged[: rng.randint(1, len(damaged))]:
            rng.choice([_bytes_changed, _bytes_removed, _bytes_added])(payload, rng)
        data, what = shard_of(*damaged), f"payloads damaged with seed {seed}"
        outcomes[check(data, kind, what)] += 1
        check_batches(data, kind, what)
    assert outcomes[False] > 100


@TYPES
def test_the_same_damage_in_all_samples_gives_samples_or_a_clean_error(kind: Any) -> None:
    payload = SAMPLES[kind][0].packed
    outcomes = collections.Counter()
    for place in range(len(payload)):
        for value in (payload[place] ^ 1, 0xFF, (0xC1, 0xDB, 0xC0, 0xCF)[place % 4]):
            damaged = bytearray(payload)
            damaged[place] = value
            data, what = shard_of(*[damaged] * 3), f"byte {place} of all payloads changed to {value}"
            outcomes[check(data, kind, what)] += 1
            if value == payload[place] ^ 1:
                check_batches(data, kind, what)
    assert outcomes[False] > 100


@TYPES
def test_the_same_truncation_of_all_samples_gives_a_clean_error(kind: Any) -> None:
    payload = SAMPLES[kind][0].packed
    for length in range(len(payload)):
        data = shard_of(*[payload[:length]] * 3)
        assert not check(data, kind, f"payloads of {length} bytes")
        check_batches(data, kind, f"payloads of {length} bytes")


@TYPES
def test_damage_behind_the_back_of_manifest_and_index_gives_samples_or_a_clean_error(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    atdata.write_samples(SAMPLES[kind], path, key=lambda number, _: f"key{number}")
    good = path.read_bytes()
    for seed in range(150):
        rng = random.Random(seed)
        data = bytearray(good)
        rng.choice([_bytes_changed, _blocks_exchanged, _stretch_repeated, _header_changed])(data, rng)
        path.write_bytes(data[: len(good)])
        for stream in (atdata.Dataset[kind](path), atdata.Dataset[kind](path).shuffled(seed=seed)):
            found, error = outcome(stream)
            assert len(found) <= len(SAMPLES[kind]) or error is None
            assert all(isinstance(sample, kind) for sample in found)


@TYPES
def test_truncation_is_found_alike_when_shuffling(kind: Any, shards: dict[type, bytes], tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    good = shards[kind]
    for length in range(0, len(good), 13):
        path.write_bytes(good[:length])
        expected, fault = outcome(one_by_one(good[:length], kind, str(path)))
        for seed in range(3):
            found, error = outcome(atdata.Dataset[kind](path).shuffled(seed=seed))
            assert error == fault
            assert all(sample in expected for sample in found)


@TYPES
def test_damage_is_found_alike_when_shuffling(kind: Any, shards: dict[type, bytes], tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    for seed in range(200):
        rng = random.Random(seed)
        data = bytearray(shards[kind])
        rng.choice(DAMAGES)(data, rng)
        path.write_bytes(data)
        expected, fault = outcome(one_by_one(bytes(data), kind))
        found, error = outcome(atdata.Dataset[kind](path).shuffled(seed=seed))
        assert (error is None) == (fault is None)
        assert fault is not None or sorted(map(repr, found)) == sorted(map(repr, expected))


@atdata.packable
class Large:
    """Most of it is one array, which is read straight from the file."""

    number: int
    image: NDArray[np.uint16]
    label: str
    mask: NDArray | None = None


def test_damage_to_large_samples_is_found_alike_in_every_way(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    base = np.arange(150 * 120, dtype=np.uint16).reshape(150, 120)
    atdata.write_samples([Large(n, base + n, "x" * n) for n in range(4)], path, key=lambda number, _: f"key{number}")
    good = path.read_bytes()
    step = good.index(b"ustar", 1000) - good.index(b"ustar")
    # what is not elements: headers, the maps' first bytes, and what follows the array
    places = [step * n + near for n in range(4) for near in (*range(0, 850), *range(512 + 36_150, 512 + 36_220))]
    for seed in range(250):
        rng = random.Random(seed)
        data = bytearray(good)
        for _ in range(rng.randint(0, 2)):
            data[rng.choice(places)] ^= rng.choice([0x01, 0x10, 0xFF])
        if seed % 5 == 0:
            del data[rng.randrange(len(data)) :]
        path.write_bytes(data)
        if seed % 2:
            (tmp_path / "s.tar.index").unlink(missing_ok=True)
        expected, fault = outcome(one_by_one(bytes(data), Large, str(path)))
        dataset = atdata.Dataset[Large](path)
        assert outcome(dataset) == (expected, fault)
        rows, error = outcome(rows_of(dataset.ordered(batch_size=3), Large))
        assert rows == expected[: len(rows)]
        assert (error is None) == (fault is None)
        for stream in (dataset.shuffled(seed=seed), rows_of(dataset.shuffled(seed=seed, batch_size=3), Large)):
            rows, error = outcome(stream)
            assert all(row in expected for row in rows) or fault is not None
            assert (error is None) == (fault is None)
            assert error is not None or len(rows) == len(expected)


@TYPES
def test_a_damaged_index_gives_the_same_samples_or_a_clean_error(kind: Any, tmp_path: Path) -> None:
    path, index = tmp_path / "s.tar", tmp_path / "s.tar.index"
    atdata.write_samples(SAMPLES[kind], path)
    good = index.read_bytes()
    for seed in range(150):
        rng = random.Random(seed)
        data = bytearray(good)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.choice([0, 0xFF, rng.randrange(256)])
        index.write_bytes(data)
        found, error = outcome(atdata.Dataset[kind](path).shuffled(seed=0))
        assert error is not None or sorted(map(repr, found)) == sorted(map(repr, SAMPLES[kind]))


# ------------------------------------------------------------------------------- foreign ways to say the same


@atdata.packable
class Loose:
    number: int
    label: str
    score: float
    flag: bool
    raw: bytes
    vector: NDArray | None = None


def _integers(number: int) -> list[bytes]:
    """All msgpack forms of an integer."""
    forms = [struct.pack(">b", number)] if -32 <= number < 128 else []
    for head, form in zip(range(0xCC, 0xD4), [">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q"], strict=True):
        with contextlib.suppress(struct.error):
            forms.append(bytes((head,)) + struct.pack(form, number))
    return forms


def _sized(data: bytes, heads: tuple[int, ...]) -> list[bytes]:
    forms = [bytes((0xA0 | len(data),)) + data] if heads[0] == 0xD9 and len(data) < 32 else []
    return forms + [
        bytes((head,)) + len(data).to_bytes(width, "big") + data
        for head, width in zip(heads, (1, 2, 4), strict=True)
        if len(data) < 256**width
    ]


def _any_of(values: st.SearchStrategy[Any], forms: Callable[[Any], list[bytes]]) -> st.SearchStrategy[bytes]:
    return values.flatmap(lambda value: st.sampled_from(forms(value)))


numbers = _any_of(st.integers(-(1 << 63), (1 << 64) - 1) | st.integers(-40, 300), _integers)
texts = _any_of(st.text(max_size=40).map(str.encode), lambda x: _sized(x, (0xD9, 0xDA, 0xDB)))
labels = texts | _any_of(st.binary(max_size=3), lambda x: _sized(x, (0xD9, 0xDA, 0xDB)))
floats = _any_of(st.floats(width=32), lambda x: [b"\xca" + struct.pack(">f", x), b"\xcb" + struct.pack(">d", x)])
flags = st.sampled_from([b"\xc2", b"\xc3"])
raws = _any_of(st.binary(max_size=40), lambda x: _sized(x, (0xC4, 0xC5, 0xC6)))
arrays = _any_of(
    st.tuples(st.sampled_from(["<f4", ">i2", "<M8[s]", "|u1", "|b1"]), st.lists(st.integers(0, 3), max_size=2)).map(
        lambda given: array_to_bytes(np.zeros(given[1], given[0]))
    ),
    lambda x: _sized(x, (0xC4, 0xC5, 0xC6)),
)
nothing = st.just(b"\xc0")
# what a field that the type does not have holds is not always looked at, so it is never broken here
others = st.one_of(numbers, texts, floats, flags, raws, arrays, nothing, st.sampled_from([b"\x90", b"\x80"]))
wrong = others | labels | st.just(b"\xc1")
KINDS = {"number": numbers, "label": labels, "score": floats, "flag": flags, "raw": raws, "vector": arrays | nothing}


@st.composite
def foreign_payloads(draw: st.DrawFn) -> list[bytes]:
    """Samples as another writer might have packed them, mostly alike and mostly right."""
    order = draw(st.permutations([*KINDS, "unknown"]))
    odd = draw(st.sampled_from([None, None, None, *KINDS]))
    payloads = []
    for _ in range(draw(st.integers(1, 5))):
        names = draw(st.permutations(order)) if draw(st.integers(0, 9)) == 9 else order
        names = [name for name in names if draw(st.integers(0, 40)) != 40]
        head = bytes((0x80 | len(names),)) if draw(st.integers(0, 9)) != 9 else b"\xde\x00" + bytes((len(names),))
        payloads.append(
            head
            + b"".join(
                bytes((0xA0 | len(name),)) + name.encode() + draw(wrong if name == odd else KINDS.get(name, others))
                for name in names
            )
        )
    return payloads


@settings(deadline=None, max_examples=200)
@given(foreign_payloads())
def test_samples_packed_by_others_are_read_alike_in_every_way(payloads: list[bytes]) -> None:
    data = shard_of(*payloads)
    check(data, Loose, f"payloads {payloads}")
    check_batches(data, Loose, f"payloads {payloads}")


def test_whether_a_sample_is_read_does_not_depend_on_its_neighbours() -> None:
    # the text of a field that the type does not have is not UTF-8
    odd, plain = b"\x82\xa6vector\xc0\xa7unknown\xa1\xff", b"\x81\xa6vector\xc0"
    read = {
        "by itself": bool(outcome(Vector.from_bytes(payload) for payload in [odd])[0]),
        "in a shard": bool(outcome(atdata.Dataset[Vector](Held(shard_of(odd))))[0]),
        "before another": bool(outcome(atdata.Dataset[Vector](Held(shard_of(odd, plain))))[0]),
    }
    assert len(set(read.values())) == 1, read


# ------------------------------------------------------------------------------- claims without substance


def claiming(size: bytes) -> bytes:
    """A shard whose second header claims a size that is not there."""
    block = bytearray(header("big.msgpack", 0))
    block[124:136] = size
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return header("a.msgpack", 1) + b"\x80" + bytes(511) + bytes(block) + bytes(3 * BLOCK)


def npy(descr: str, shape: str) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text


def vector_of(array: bytes) -> bytes:
    return b"\x81\xa6vector\xc5" + struct.pack(">H", len(array)) + array


CLAIMS: dict[str, bytes] = {
    "member-of-8-eib": claiming(b"\x80" + (1 << 63).to_bytes(11, "big")),
    "member-of-8-eib-less-one": claiming(b"\x80" + ((1 << 63) - 1).to_bytes(11, "big")),
    "member-of-2**88": claiming(b"\x80" + b"\xff" * 11),
    "member-of-8-gib": claiming(b"77777777777\0"),
    "pax-member-of-8-eib": shard_of(b"\x80")[: 2 * BLOCK] + header("big.msgpack", 1 << 63) + bytes(3 * BLOCK),
    "array-of-4-gib": shard_of(b"\x80", b"\x81\xa6vector\xc6\xff\xff\xff\xff\x93NUMPY"),
    "text-of-4-gib": shard_of(b"\x80", b"\x81\xa6vector\xdb\xff\xff\xff\xff"),
    "list-of-4-gi": shard_of(b"\x80", b"\x81\xa6vector\xdd\xff\xff\xff\xff"),
    "map-of-4-gi": shard_of(b"\x80", b"\xdf\xff\xff\xff\xff\xa6vector"),
    "map-of-65535": shard_of(b"\x80", b"\xde\xff\xff\xa6vector\xc0"),
    "array-of-8-eib": shard_of(b"\x80", vector_of(npy("'|u1'", f"({1 << 63},)"))),
    "array-of-32-gib": shard_of(b"\x80", vector_of(npy("'<f8'", f"({1 << 32},)"))),
    "array-of-no-bytes": shard_of(b"\x80", vector_of(npy("'|V0'", f"({1 << 40},)"))),
    "array-of-empty-text": shard_of(b"\x80", vector_of(npy("'<U0'", f"({1 << 40},)"))),
    "array-empty-and-huge": shard_of(b"\x80", vector_of(npy("'<f8'", f"(0, {1 << 62})"))),
}


@atdata.packable
class Vector:
    vector: NDArray | None = None


@pytest.mark.parametrize("data", CLAIMS.values(), ids=CLAIMS)
def test_sizes_that_are_only_claimed_cost_no_memory(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    path.write_bytes(data)
    for source in (Held(data), path):
        for shuffled in (False, True):
            dataset = atdata.Dataset[Vector](source)
            tracemalloc.start()
            try:
                found, error = outcome(dataset.shuffled(seed=0) if shuffled else dataset)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert error is not None
            assert error[0] in ("ShardCorrupted", "SampleDecodeError", "FieldMismatch")
            assert len(found) <= 1
            assert peak < 64 << 20


def test_a_claim_is_refused_after_the_samples_before_it() -> None:
    found, error = outcome(atdata.Dataset[Vector](Held(CLAIMS["member-of-8-eib"])))
    assert found == [Vector()]
    assert error == ("ShardCorrupted", "s.tar", None, 2 * BLOCK, None)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"\x91\x01", SampleDecodeError),
        (b"\xc1", SampleDecodeError),
        (b"", SampleDecodeError),
        (vector_of(b"no array"), SampleDecodeError),
        (vector_of(npy("'|O'", "(1,)")), SampleDecodeError),
    ],
    ids=["list", "reserved", "empty", "no-array", "objects"],
)
def test_errors_of_a_sample_say_where_it_is(payload: bytes, kind: type[AtdataError], tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    path.write_bytes(shard_of(b"\x80", payload, b"\x80"))
    dataset = atdata.Dataset[Vector](path)
    for stream in (dataset, dataset.ordered(), dataset.shuffled(seed=0), dataset.shuffled(buffer_samples=1)):
        with pytest.raises(kind) as caught:
            list(stream)
        assert (caught.value.shard, caught.value.key, caught.value.offset) == (str(path), "key1", 2 * BLOCK)
    (batch,) = dataset.ordered(batch_size=3)
    with pytest.raises(kind) as caught:
        batch.list("vector")
    assert (caught.value.shard, caught.value.key, caught.value.offset) == (str(path), "key1", 2 * BLOCK)


@pytest.mark.parametrize("name", ["s.tar.gz", "s.tar"])
def test_compressed_shards_are_refused_with_advice(name: str, tmp_path: Path) -> None:
    import gzip

    path = tmp_path / name
    path.write_bytes(gzip.compress(shard_of(b"\x80"), mtime=0))
    with pytest.raises(ShardCorrupted, match="gunzip"):
        list(atdata.Dataset(path))
    with pytest.raises(ShardCorrupted, match="gunzip"):
        list(atdata.Dataset(path).shuffled())
