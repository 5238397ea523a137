"""Data from elsewhere: what is inferred of it, and what becomes of its rows."""

import io
import json
import math
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata.errors import EmptyDataset, RowError, ShardNotFound
from atdata.ingest import open_rows, type_for, type_name, write_rows
from atdata.ingest.rows import field_name
from atdata.sample import plan_of


def infer(rows):
    return {field.name: field.text for field in plan_of(type_for(rows, "Made")).fields}


def made(source, tmp_path, *, folder="out", **options):
    rows = open_rows(source, **options)
    return write_rows(rows, tmp_path / folder, type_for(rows, "Made"))


def stream(text):
    return io.BufferedReader(io.BytesIO(text if isinstance(text, bytes) else text.encode()))


# -- CSV


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (["1", "-20", "0"], "int"),
        (["1", ""], "int | None"),
        (["1.5", "2", "1e-3", ".5", "nan", "-inf"], "float"),
        (["true", "FALSE"], "bool"),
        (["true", "1"], "str"),
        (["007", "010"], "str"),  # leading zeros are kept
        (["+1", "2"], "str"),
        (["1_000"], "str"),
        (["12345678901234567890123"], "str"),  # wider than any integer that is stored
        (["0.5", "12345678901234567890123"], "str"),  # no float is equal to it
        ([str(2**64 - 1), str(-(2**63))], "int"),
        ([str(2**64)], "float"),  # which a float is equal to
        (["٣", "1"], "str"),  # digits of another script
        (["", ""], "str"),
        (["a", ""], "str"),
        (["1" * 5000], "str"),
    ],
)
def test_cells_decide_the_type_of_a_column(cells, text):
    rows = "".join(f"{cell},x\n" for cell in cells)
    assert infer(open_rows(stream(f"value,other\n{rows}")))["value"] == text


def test_csv_becomes_samples(tmp_path):
    path = tmp_path / "iris.csv"
    path.write_text('\ufeffSepal length (cm),class,seen,note\r\n5.1,setosa,true,"a ""b"",\nc"\r\n\r\n4,virginica,,\r\n')
    told = []
    rows = open_rows(path)
    sample_type = type_for(rows, "Iris")
    dataset = write_rows(rows, tmp_path / "out", sample_type, progress=lambda done, total: told.append((done, total)))
    assert [vars(sample) for sample in dataset] == [
        {"Sepal_length_cm": 5.1, "class_": "setosa", "seen": True, "note": 'a "b",\nc'},
        {"Sepal_length_cm": 4.0, "class_": "virginica", "seen": None, "note": ""},
    ]
    assert told[-1] == (2, 2)
    assert atdata.load_dataset(tmp_path / "out", split="train").sample_type is sample_type


def test_tsv_and_other_delimiters(tmp_path):
    (tmp_path / "a.tsv").write_text("a\tb\n1\t2\n")
    (tmp_path / "b.csv").write_text("a;b\n1;2\n")
    assert infer(open_rows(tmp_path / "a.tsv")) == {"a": "int", "b": "int"}
    assert infer(open_rows(tmp_path / "b.csv", delimiter=";")) == {"a": "int", "b": "int"}
    with pytest.raises(RowError, match="--delimiter ';' divides it"):
        infer(open_rows(tmp_path / "b.csv"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; the first line"),
        ("a,b\n1\n", "line 2 has 1 cells where the header has 2"),
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 cells"),
        ("a,a\n1,2\n", "the columns 'a' and 'a' are both 'a'"),
        ("a b,a-b\n1,2\n", "the columns 'a b' and 'a-b' are both 'a_b'"),
        ('a,b\n1,"2\n', "line 2: unexpected end of data"),
        (b"a\n\xe4\n", "is not UTF-8.*iconv"),
    ],
)
def test_damaged_csv_is_told_by_its_line(text, said):
    with pytest.raises(RowError, match=said):
        infer(open_rows(stream(text), "csv"))


def test_a_row_of_a_stream_that_does_not_fit_the_first_ones_is_refused(tmp_path):
    text = "a,b\n" + "1,x\n" * 10_000 + "oops,y\n"
    with pytest.raises(RowError, match=r"line 10,002: a is 'oops', and not int.*--type"):
        made(stream(text), tmp_path)
    assert not list((tmp_path / "out").glob("*.tar"))
    with pytest.raises(RowError, match=r"line 10,002: a is missing, and int has to be there"):
        made(stream(text.replace("oops", "")), tmp_path)
    path = tmp_path / "file.csv"
    path.write_text(text)
    assert infer(open_rows(path)) == {"a": "str", "b": "str"}  # of a file, all rows are looked at


def test_no_rows_are_no_dataset(tmp_path):
    with pytest.raises(EmptyDataset):
        made(stream("a,b\n"), tmp_path)
    with pytest.raises(RowError, match="no columns"):
        made(stream(""), tmp_path, format="jsonl")


table = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.floats(),
        st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=9),
    ),
    min_size=1,
    max_size=9,
)


@settings(deadline=None, max_examples=50)
@given(table)
def test_what_csv_writes_is_read_back(tmp_path_factory, rows):
    import csv

    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["n", "x", "text"])
    writer.writerows(rows)
    source = open_rows(stream(text.getvalue()), "csv")
    kinds = {"n": int, "x": float, "text": str}
    hints = {name: kind | None for name, kind in kinds.items()}
    own = atdata.packable(type("Own", (), {"__annotations__": hints, "__module__": __name__}))
    read = list(write_rows(source, tmp_path_factory.mktemp("csv"), own))
    for sample, (n, x, words) in zip(read, rows, strict=True):
        assert sample.n == n
        assert sample.x == x or (math.isnan(sample.x) and math.isnan(x))
        assert sample.text == words


# -- JSON lines


def lines(*values):
    return stream("\n".join(json.dumps(value) for value in values))


def test_json_lines_decide_types():
    rows = lines(
        {"a": 1, "b": 1, "c": "x", "d": [1, 2.5], "e": None, "f": True, "g": [["a"], []], "Some name": 1},
        {"a": 2, "b": 1.5, "c": None, "d": [], "f": False, "g": []},
    )
    assert infer(open_rows(rows)) == {
        "a": "int",
        "b": "float",
        "c": "str | None",
        "d": "list[float]",
        "e": "str | None",
        "f": "bool",
        "g": "list[list[str]]",
        "Some_name": "int | None",
    }


def test_json_lines_become_samples(tmp_path):
    dataset = made(lines({"a": 1, "b": [1, 2.5]}, {"a": None, "b": []}), tmp_path)
    assert [(sample.a, sample.b) for sample in dataset] == [(1, [1, 2.5]), (None, [])]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}\n{', "line 2 is not JSON"),
        ("[1, 2]", "line 1 is no object"),
        ("[{", "line 1 is not JSON.*jq -c"),
        ('{"a": {"b": 1}}', "a in .* line 1 is an object"),
        ('{"a": 1}\n{"a": "x"}', "found int .*line 1.*, str .*line 2"),
        ('{"a": [1, null]}', "an item of a in .* is null"),
        ('{"a": 123456789012345678901234567890}', "over 64 bits"),
        ('{"a": 1, "a ": 2}', "are both 'a'"),
        ("[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_damaged_json_is_told_by_its_line(text, said):
    with pytest.raises(RowError, match=said):
        infer(open_rows(stream(text), "jsonl"))


def test_a_column_that_comes_later_in_a_stream_is_not_dropped(tmp_path):
    rows = lines(*({"a": n} for n in range(10_000)), {"a": 1, "b": 2})
    with pytest.raises(RowError, match=r"line 10,001 has a column 'b', which the rows before had not"):
        made(rows, tmp_path)


def test_documents_in_cells(tmp_path):
    text = "x" * 200_000 + "\n" + "y" * 200_000
    (sample,) = made(stream(f'text,n\n"{text}",1\n'), tmp_path)
    assert sample.text == text


def test_large_rows_of_a_stream_are_not_held_by_the_thousand(monkeypatch):
    monkeypatch.setattr("atdata.ingest.text._FIRST_TEXT", 1000)
    rows = open_rows(lines(*({"text": "x" * 500} for _ in range(10)), {"text": 1}))
    assert infer(rows) == {"text": "str"}
    assert len([*rows]) == 11


def test_an_endless_line_is_no_row(monkeypatch):
    monkeypatch.setattr("atdata.ingest.text._LONGEST", 1000)
    with pytest.raises(RowError, match="has a line of over"):
        infer(open_rows(stream('{"a": "' + "x" * 2000 + '"}')))


def test_memory_does_not_grow_with_a_table(tmp_path):
    path = tmp_path / "long.csv"
    with open(path, "w") as file:
        file.write("n,text\n")
        for number in range(20_000):
            file.write(f"{number},{'x' * 500}\n")
    rows = open_rows(path)
    sample_type = type_for(rows, "Long")
    tracemalloc.start()
    write_rows(rows, tmp_path / "out", sample_type)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 << 20  # of 10 MB


# -- the user's own type


@atdata.packable
class Own:
    vector: NDArray[np.float32]
    label: str
    weight: float = 1.0
    tokens: list[int] | None = None


def test_columns_fill_the_fields_of_a_class(tmp_path):
    rows = open_rows(
        lines({"vector": [1, 2], "label": "a", "tokens": [3], "left out": 1}, {"vector": [], "label": "b"})
    )
    read = list(write_rows(rows, tmp_path / "out", Own, whole=False))
    assert read[0] == Own(vector=np.array([1, 2], np.float32), label="a", tokens=[3])
    assert read[1] == Own(vector=np.array([], np.float32), label="b")


def test_cells_hold_lists_as_json(tmp_path):
    rows = open_rows(stream('vector,label,weight\n"[1, 2]",a,0.5\n'), "csv")
    assert list(write_rows(rows, tmp_path / "out", Own)) == [
        Own(vector=np.array([1, 2], np.float32), label="a", weight=0.5)
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"label": "a"}, "has no 'vector', which Own needs; it has label"),
        ({"vector": [1], "label": 1}, "label is 1, and not str"),
        ({"vector": [1], "label": None}, "label is missing"),
        ({"vector": "x", "label": "a"}, "vector is 'x', and not NDArray"),
        ({"vector": [[1], [2, 3]], "label": "a"}, "vector is list, and not NDArray"),
        ({"vector": ["x"], "label": "a"}, "does not become float32"),
        ({"vector": [1e300], "label": "a"}, "vector is list, and not NDArray"),
        ({"vector": [1], "label": "a", "tokens": [1.5]}, "tokens is list, and not list"),
        ({"vector": [1], "label": "a", "weight": "x"}, "weight is 'x', and not float"),
    ],
)
def test_a_row_that_does_not_fit_a_class_is_told(tmp_path, row, said):
    with pytest.raises(RowError, match=said) as caught:
        write_rows(open_rows(lines(row)), tmp_path / "out", Own, whole=False)
    assert "line 1" in str(caught.value)


def test_numbers_are_not_bent_to_fit(tmp_path):
    @atdata.packable
    class Bytes:
        values: NDArray[np.uint8]

    for values, said in (([1, 256], "uint8 holds 0 to 255"), ([-1], "uint8 holds"), ([0.5], "does not become uint8")):
        with pytest.raises(RowError, match=said):
            write_rows(open_rows(lines({"values": values})), tmp_path / "out", Bytes)


# -- NumPy


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "|u1", "<i8", "?", "<U3", "|S3", "<M8[s]", "<c8"])
@pytest.mark.parametrize("shape", [(5,), (5, 2, 3)])
def test_arrays_become_samples(tmp_path, dtype, shape):
    values = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    np.save(tmp_path / "the-values.npy", values)
    dataset = made(tmp_path / "the-values.npy", tmp_path)
    read = np.stack([np.asarray(sample.the_values) for sample in dataset])
    assert (read == values).all()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_archive_are_fields(tmp_path, save):
    x, y = np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(4)
    save(tmp_path / "both.npz", x=x, y=y, f=np.asfortranarray(x))
    rows = open_rows(tmp_path / "both.npz")
    assert rows.count == 4
    assert infer(rows) == {"x": "NDArray[float32]", "y": "int", "f": "NDArray[float32]"}
    for number, sample in enumerate(made(tmp_path / "both.npz", tmp_path)):
        assert (sample.x == x[number]).all()
        assert (sample.f == x[number]).all()
        assert sample.y == number


def test_what_is_no_array_of_entries_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros(4))
    with pytest.raises(RowError, match=r"x \(3,\), y \(4,\); arrays become samples along a first axis of one length"):
        open_rows(tmp_path / "a.npz")
    np.save(tmp_path / "scalar.npy", np.float32(1))
    with pytest.raises(RowError, match="first axis"):
        open_rows(tmp_path / "scalar.npy")
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(RowError, match="Python objects"):
        open_rows(tmp_path / "pickle.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(RowError, match="holds no array"):
        open_rows(tmp_path / "text.npy")
    np.save(tmp_path / "records.npy", np.zeros(2, [("a", "i4")]))
    with pytest.raises(RowError, match="has the dtype"):
        infer(open_rows(tmp_path / "records.npy"))


def test_truncated_arrays_are_told(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1000, 100)))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:-10])
    with pytest.raises(RowError, match=r"a.npy is damaged: a ends 10 bytes too soon"):
        made(tmp_path / "a.npy", tmp_path)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", data)
    broken = bytearray((tmp_path / "b.npz").read_bytes())
    broken[5000] ^= 1
    (tmp_path / "b.npz").write_bytes(broken)
    with pytest.raises(RowError, match=r"b.npz is damaged"):
        made(tmp_path / "b.npz", tmp_path)
    assert not list((tmp_path / "out").glob("*.tar"))


# -- images


@pytest.fixture
def pictures(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for label, shade in (("cat", 20), ("dog", 200)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in (10, 9):
            image.new("RGB", (4, 3), (shade, number, 0)).save(tmp_path / "photos" / label / f"{number}.png")
    (tmp_path / "photos" / "notes.txt").write_text("not an image")
    (tmp_path / "photos" / ".hidden").mkdir()
    return tmp_path / "photos"


def test_folders_are_labels(tmp_path, pictures):
    rows = open_rows(pictures)
    assert (rows.count, rows.others) == (4, 1)
    assert infer(rows) == {"image": "NDArray[uint8]", "label": "str", "file": "str"}
    read = list(made(pictures, tmp_path))
    assert [sample.file for sample in read] == ["cat/9.png", "cat/10.png", "dog/9.png", "dog/10.png"]
    assert [sample.label for sample in read] == ["cat", "cat", "dog", "dog"]
    assert read[0].image.shape == (3, 4, 3)
    assert read[0].image[0, 0].tolist() == [20, 9, 0]


def test_encoded_images_are_the_bytes_of_their_files(tmp_path, pictures):
    assert infer(open_rows(pictures, encoded=True))["image"] == "bytes"
    read = list(made(pictures, tmp_path, encoded=True))
    assert read[0].image == (pictures / "cat" / "9.png").read_bytes()


def test_images_without_folders_have_no_label(tmp_path, pictures):
    assert infer(open_rows(pictures / "cat")) == {"image": "NDArray[uint8]", "file": "str"}
    (pictures / "cat" / "9.png").rename(pictures / "9.png")
    assert infer(open_rows(pictures))["label"] == "str | None"


def test_folders_of_splits_are_no_labels(pictures):
    (pictures / "cat").rename(pictures / "train")
    (pictures / "dog").rename(pictures / "test")
    with pytest.raises(RowError, match=r"are splits \(test, train\), not labels; .*atdata write .*/test DIR/test"):
        open_rows(pictures)


def test_modes_keep_what_they_hold(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for mode, shape, dtype in (
        ("L", (2, 2), "uint8"),
        ("1", (2, 2), "uint8"),
        ("P", (2, 2, 3), "uint8"),
        ("LA", (2, 2, 4), "uint8"),
        ("RGBA", (2, 2, 4), "uint8"),
        ("CMYK", (2, 2, 3), "uint8"),
        ("I;16", (2, 2), "uint16"),
        ("F", (2, 2), "float32"),
    ):
        folder = tmp_path / mode
        folder.mkdir()
        image.new(mode, (2, 2)).save(folder / "a.tif")
        (sample,) = made(folder, tmp_path, folder=f"out {mode}")
        assert (sample.image.shape, str(sample.image.dtype)) == (shape, dtype), mode


def test_a_broken_image_is_named_and_nothing_is_written(tmp_path, pictures):
    data = (pictures / "dog" / "10.png").read_bytes()
    (pictures / "dog" / "10.png").write_bytes(data[:-30])
    with pytest.raises(RowError, match=r"dog/10.png is no image that can be read.*--encoded"):
        made(pictures, tmp_path)
    assert not list((tmp_path / "out").glob("*.tar"))


def test_an_image_that_unpacks_to_far_too_much_is_refused(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 8)
    with pytest.raises(RowError, match="decompression bomb"):
        made(pictures, tmp_path)


def test_a_folder_without_images_is_told(tmp_path):
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    with pytest.raises(RowError, match="holds no images; those are"):
        open_rows(tmp_path)


# -- Parquet


def test_what_to_parquet_writes_is_read_back(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")

    @atdata.packable
    class Every:
        b: bool
        i: int
        f: float | None
        s: str
        raw: bytes
        words: list[str]
        vector: NDArray[np.int16]
        image: NDArray[np.uint8]
        time: NDArray[np.datetime64]

    samples = [
        Every(
            b=n % 2 == 0,
            i=n,
            f=None if n else 0.5,
            s=f"é{n}",
            raw=bytes([n]),
            words=["a"] * (n + 1),
            vector=np.arange(n + 1, dtype=np.int16),
            image=np.full((2, n + 1, 3), n, np.uint8),
            time=np.array(f"2024-01-0{n + 1}", "M8[ms]"),
        )
        for n in range(3)
    ]
    written = atdata.write_samples(samples, tmp_path / "a.tar")
    written.to_parquet(tmp_path / "a.parquet", row_group_size=2)
    rows = open_rows(tmp_path / "a.parquet")
    assert rows.count == 3
    assert infer(rows) == {
        "b": "bool",
        "i": "int",
        "f": "float | None",
        "s": "str",
        "raw": "bytes",
        "words": "list[str]",
        "vector": "NDArray[int16]",
        "image": "NDArray[uint8]",
        "time": "NDArray[datetime64]",
    }
    assert list(write_rows(open_rows(tmp_path / "a.parquet"), tmp_path / "again", Every)) == samples


def test_foreign_columns_of_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(
        pa.table(
            {
                "image": pa.array([{"bytes": b"x", "path": "a"}, {"bytes": b"y", "path": "b"}], image),
                "kind": pa.array(["a", "b"]).dictionary_encode(),
                "fixed": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
                "day": pa.array([0, None], pa.date32()),
            }
        ),
        path,
    )
    assert infer(open_rows(path)) == {
        "image": "bytes",
        "kind": "str",
        "fixed": "NDArray[float32]",
        "day": "NDArray[datetime64] | None",
    }
    first, second = made(path, tmp_path)
    assert (first.image, first.kind, first.fixed.tolist(), str(first.day)) == (b"x", "a", [1, 2], "1970-01-01")
    assert second.day is None
    pq.write_table(pa.table({"price": pa.array([1], pa.decimal128(5, 2))}), path)
    with pytest.raises(RowError, match=r"'price' in a.parquet is of type decimal128.*cast it"):
        infer(open_rows(path))
    pq.write_table(pa.table({"v": pa.array([[1, None]], pa.list_(pa.int32()))}), path)
    with pytest.raises(RowError, match="null inside of a list of numbers"):
        made(path, tmp_path, folder="nulls")


def test_what_is_no_parquet_is_told(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(RowError, match=r"a.parquet cannot be read as Parquet"):
        open_rows(tmp_path / "a.parquet")


# -- formats and names


def test_the_format_is_told_by_name_or_first_byte(tmp_path):
    (tmp_path / "a.dat").write_text("x")
    with pytest.raises(RowError, match="does not tell its format; names end in"):
        open_rows(tmp_path / "a.dat")
    with pytest.raises(ShardNotFound, match="there is no"):
        open_rows(tmp_path / "none.csv")
    with pytest.raises(RowError, match="none of the formats"):
        open_rows(tmp_path / "a.dat", "xls")
    with pytest.raises(RowError, match="not read from a stream"):
        open_rows(stream("x"), "parquet")
    with pytest.raises(RowError, match="a delimiter is for CSV"):
        open_rows(stream("{}"), delimiter=";")
    assert infer(open_rows(stream(' {"a": 1}'))) == {"a": "int"}
    assert infer(open_rows(stream("a,b\n1,2"))) == {"a": "int", "b": "int"}


@settings(deadline=None)
@given(st.text(max_size=40))
@example("\u24eb")  # a circled 11
@example("price \u24eb")
@example("\u0390")  # a Greek letter whose capital is two
def test_every_column_has_a_name_that_fields_take(column):
    from atdata.schema.check import check_name

    check_name(field_name(column)[:256], "the name of a field")
    check_name(type_name(column)[:256], "the name of a class")


def test_names_of_types():
    assert [type_name(text) for text in ("iris-2024", "my_photos", "2024", "", "class")] == [
        "Iris2024",
        "MyPhotos",
        "Sample",
        "Sample",
        "Class",
    ]
