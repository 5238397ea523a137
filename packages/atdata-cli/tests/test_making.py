"""``atdata write``, ``reshard``, ``cat``, ``split`` and ``export``: the real command, with a terminal and without."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import atdata
from atdata_cli.arguments import size

from .conftest import COMMAND, Run

TABLE = b"Sepal length (cm),class,zip\n5.1,setosa,007\n4,virginica,\n6.2,setosa,010\n"


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    (tmp_path / "iris.csv").write_bytes(TABLE)
    return tmp_path / "iris.csv"


def rows(folder: Path) -> list[dict[str, Any]]:
    return [vars(sample) for sample in atdata.load_dataset(folder, split="all")]


def test_a_table_becomes_a_dataset_and_its_type_is_shown(execute: Run, iris: Path, tmp_path: Path) -> None:
    done = execute("write", "iris.csv", "data/iris")
    assert done.code == 0, done.err
    assert done.out.startswith("Dataset[Iris]('data/iris/shard-000000.tar': 1 shard, 3 samples; Sepal_length_cm: float")
    assert done.err.splitlines() == [
        "sample type Iris(Sepal_length_cm: float, class_: str, zip: str)",
        "Look at it: atdata inspect data/iris",
    ]
    assert rows(tmp_path / "data" / "iris")[0] == {"Sepal_length_cm": 5.1, "class_": "setosa", "zip": "007"}
    again = execute("write", "iris.csv", "data/iris")
    assert (again.code, again.out) == (1, "")
    assert "shard-000000.tar exists" in again.err
    assert execute("write", "iris.csv", "data/iris", "--overwrite", "--quiet").err == ""


def test_in_a_terminal_it_is_the_same(terminal: Run, iris: Path, tmp_path: Path) -> None:
    done = terminal("write", "iris.csv", "data/iris")
    assert done.code == 0, done.out
    assert "Dataset[Iris]" in done.out
    assert len(rows(tmp_path / "data" / "iris")) == 3
    done = terminal("write", "nothing.csv", "data/nothing")
    assert done.code == 1
    assert done.out.startswith("atdata: there is no nothing.csv; name a file")


def test_options_decide_names_and_sizes(run: Run, iris: Path, tmp_path: Path) -> None:
    done = run("write", "iris.csv", "out", "--name", "train", "--maxcount", "2", "--schema", "Flower", "--json")
    told = json.loads(done.out)
    assert told == {"type": "Flower", "shards": ["out/train-000000.tar", "out/train-000001.tar"], "samples": 3}
    assert run("write", "iris.csv", "small", "--maxsize", "2kB").code == 0
    assert len([*(tmp_path / "small").glob("*.tar")]) == 3
    assert run("write", "iris.csv", "small", "--maxsize", "much").code == 2
    assert run("write", "iris.csv", "data/photos/train").out.startswith("Dataset[Photos]")  # a split is no type


def test_what_comes_by_a_pipe(execute: Run, tmp_path: Path) -> None:
    done = execute("write", "-", "csv", stdin=TABLE)
    assert done.code == 0, done.err
    done = execute("write", "-", "jsonl", stdin=b'{"a": 1}\n{"a": 2, "b": [0.5]}\n')
    assert done.code == 0, done.err
    assert rows(tmp_path / "jsonl") == [{"a": 1, "b": None}, {"a": 2, "b": [0.5]}]
    done = execute("write", "-", "tsv", "--format", "tsv", stdin=b"a\tb\n1\t2\n")
    assert rows(tmp_path / "tsv") == [{"a": 1, "b": 2}]
    done = execute("write", "-", "semicolons", "--delimiter", ";", stdin=b"a;b\n1;2\n")
    assert rows(tmp_path / "semicolons") == [{"a": 1, "b": 2}]


def test_a_type_of_the_users_own(run: Run, iris: Path, tmp_path: Path) -> None:
    (tmp_path / "flowers.py").write_text(
        "import atdata\n\n@atdata.packable\nclass Flower:\n    class_: str\n    zip: str | None = None\n"
    )
    done = run("write", "iris.csv", "out", "--type", "flowers:Flower")
    assert done.code == 0, done.err
    assert rows(tmp_path / "out")[1] == {"class_": "virginica", "zip": ""}
    done = run("write", "iris.csv", "other", "--type", "flowers:Nothing")
    assert (done.code, "has no attribute 'Nothing'" in done.err) == (2, True)


def test_a_folder_of_images(run: Run, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        image.new("RGB", (4, 3), (len(label), 0, 0)).save(tmp_path / "photos" / label / "1.png")
    done = run("write", "photos", "out")
    assert done.code == 0, done.err
    assert "image: NDArray[uint8], label: str, file: str" in done.out
    assert [row["label"] for row in rows(tmp_path / "out")] == ["cat", "dog"]
    assert "image: bytes" in run("write", "photos", "encoded", "--encoded").out


def test_arrays_of_numpy(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", x=np.arange(6, dtype=np.float32).reshape(3, 2), y=np.arange(3))
    done = run("write", "both.npz", "out")
    assert "Dataset[Out]('out/shard-000000.tar': 1 shard, 3 samples; x: NDArray[float32], y: int)" in done.out


def test_errors_are_one_line_and_leave_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n1\n")
    done = run("write", "bad.csv", "out")
    assert (done.code, done.out) == (1, "")
    assert done.err == "atdata: bad.csv, line 3 has 1 cells where the header has 2\n"
    assert not (tmp_path / "out").exists()


def test_an_interrupted_write_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    command = [COMMAND, "write", "-", "out", "--format", "jsonl"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, cwd=tmp_path, env=environment, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"a": 1}\n' * 200_000)  # more than what decides the type
        process.stdin.flush()
        while not [*tmp_path.glob("out/.atdata-tmp-*/*.tar")]:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert [*(tmp_path / "out").iterdir()] == []


# -- datasets cut anew


def test_reshard(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("reshard", folder, "other", "--maxcount", "7", "--json")
    told = json.loads(done.out)
    assert (told["samples"], len(told["shards"])) == (30, 5)
    assert run("reshard", folder, "test", "--split", "test", "--name", "test", "--quiet").out.count("5 samples") == 1
    assert run("reshard", folder, "mixed", "--seed", "1").code == 0
    assert [row["name"] for row in rows(tmp_path / "mixed")] != [row["name"] for row in rows(tmp_path / "other")]
    done = run("reshard", folder, "other")
    assert (done.code, "exists" in done.err) == (1, True)


def test_reshard_of_a_shard_that_comes_by_a_pipe(execute: Run, folder: Path, tmp_path: Path) -> None:
    shard = next(folder.glob("test*.tar"))
    done = execute("reshard", "-", "out", stdin=shard.read_bytes())
    assert done.code == 0, done.err
    assert len(atdata.load_dataset(tmp_path / "out", split="train")) == 5


def test_cat(run: Run, iris: Path, folder: Path, tmp_path: Path) -> None:
    run("write", "iris.csv", "a/iris")
    run("write", "iris.csv", "b/iris")
    done = run("cat", "a/iris", "b/iris", "both")
    assert "2 shards, 6 samples" in done.out
    assert (tmp_path / "both" / "shard-000001.tar").read_bytes() == (tmp_path / "b/iris/shard-000000.tar").read_bytes()
    done = run("cat", "a/iris", folder, "third")
    assert (done.code, "a dataset has samples of one type" in done.err) == (1, True)
    assert not (tmp_path / "third").exists()
    assert run("cat", "a/iris").code == 2


def test_split(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("split", folder, "parts", "train=0.8", "test=rest", "--seed", "3", "--json")
    told = json.loads(done.out)
    assert {name: part["samples"] for name, part in told.items()} == {"train": 24, "test": 6}
    loaded = atdata.load_dataset(tmp_path / "parts")
    assert {name: len(part) for name, part in loaded.items()} == {"train": 24, "test": 6}
    for parts, code in (
        (["train=x"], 2),
        (["train"], 2),
        (["a=1", "a=2"], 2),
        (["../a=1"], 2),
        (["train=0.8", "test=0.3"], 1),
    ):
        assert run("split", folder, "wrong", *parts).code == code, parts
    assert not (tmp_path / "wrong").exists()


# -- exports


def test_export_parquet(run: Run, terminal: Run, folder: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    done = run("export", "parquet", folder, "digits.parquet", "--split", "train")
    assert (done.code, done.out) == (0, "digits.parquet\n"), done.err
    assert pq.read_table(tmp_path / "digits.parquet").num_rows == 25
    done = run("export", "parquet", folder, "parts.parquet", "--maxcount", "20", "--json")
    assert json.loads(done.out) == {"files": ["parts-000000.parquet", "parts-000001.parquet"]}
    assert terminal("export", "parquet", folder, "again.parquet").code == 0
    assert run("export", "parquet", folder, ".").code == 1
    assert run("export", "parquet", folder, "-").code == 2


def test_export_jsonl(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("export", "jsonl", folder, "--split", "test")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["label"] for line in lines] == [0, 1, 2, 3, 4]
    assert np.asarray(lines[1]["image"]).shape == (8, 8)
    assert run("export", "jsonl", folder, "digits.jsonl", "--quiet").out == "digits.jsonl\n"
    assert len((tmp_path / "digits.jsonl").read_text().splitlines()) == 30
    assert run("write", "digits.jsonl", "back").code == 0
    assert rows(tmp_path / "back")[3]["name"] == "digit 3"


def test_export_croissant(run: Run, folder: Path, tmp_path: Path) -> None:
    about = ("--license", "CC0-1.0", "--creator", "A. Lee", "--url", "https://example.org", "--published", "2024-05-01")
    done = run("export", "croissant", folder, *about, "--name", "digits")
    made = json.loads(done.out)
    assert (made["name"], made["description"], made["datePublished"]) == (
        "digits",
        "A handwritten digit.",
        "2024-05-01",
    )
    assert len(made["distribution"]) == 5
    done = run("export", "croissant", folder, "below/croissant.json", *about, "--base-url", "https://example.org/d")
    assert (done.code, done.out) == (0, "below/croissant.json\n"), done.err
    made = json.loads((tmp_path / "below" / "croissant.json").read_text())
    assert made["distribution"][0]["contentUrl"].startswith("https://example.org/d/t")
    done = run("export", "croissant", folder)
    assert done.code == 2
    assert "--license, --creator, --url" in done.err


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("500", 500),
        ("500B", 500),
        ("2kB", 2000),
        ("2KiB", 2048),
        ("1.5MB", 1_500_000),
        ("1GiB", 1 << 30),
        ("3t", 3 * 10**12),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert size(text) == count
