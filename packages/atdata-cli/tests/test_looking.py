"""``atdata inspect``, ``head``, ``stats``, ``validate`` and ``diff``."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import atdata

from .conftest import Run

TYPES = """
import numpy as np
from numpy.typing import NDArray
import atdata

@atdata.packable
class Digit:
    image: NDArray[np.uint8]
    label: int
    name: str

@atdata.packable
class Wrong:
    image: int

class Plain:
    pass
"""


def parsed(run: Run, *arguments: str | Path, code: int = 0, **options: Any) -> Any:
    done = run(*arguments, "--json", **options)
    assert (done.code, done.err) == (code, ""), done
    return json.loads(done.out)


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy of the folder that a test may damage."""
    return shutil.copytree(folder, tmp_path / "own")


# ---------------------------------------------------------------------------------------------- inspect


def test_inspect_tells_type_fields_shards_and_health(run: Run, folder: Path) -> None:
    found = parsed(run, "inspect", folder)
    assert found["dataset"] == str(folder)
    assert list(found["splits"]) == ["train", "test"]
    train = found["splits"]["train"]
    assert (train["type"], train["samples"], train["problems"]) == ("Digit", 25, [])
    assert train["description"] == "A handwritten digit."
    assert train["layout"] == "tar shards with a manifest, indexed"
    assert train["bytes"] == sum(path.stat().st_size for path in folder.glob("train-*.tar"))
    assert train["fields"] == [
        {
            "name": name,
            "type": text,
            "optional": optional,
            "dtypes": dtypes,
            "shape": shape,
            "description": None,
        }
        for name, text, optional, dtypes, shape in [
            ("image", "NDArray[uint8]", False, ["uint8"], [8, 8]),
            ("label", "int", False, [], None),
            ("name", "str", False, [], None),
            ("score", "float | None", True, [], None),
        ]
    ]
    assert [shard["samples"] for shard in train["shards"]] == [10, 10, 5]
    assert list(train["shards"][0]) == ["name", "samples", "bytes", "sha256", "sidecar", "problem"]


def test_inspect_needs_neither_class_nor_manifest(run: Run, own: Path) -> None:
    (own / "manifest.json").unlink()
    found = parsed(run, "inspect", own / "test.tar")["splits"]["test"]
    assert (found["type"], found["samples"]) == ("DictSample", None)
    assert {field["name"]: field["type"] for field in found["fields"]} == {
        "image": "NDArray[uint8]",
        "label": "int",
        "name": "str",
        "score": "float",
    }
    assert "not known without a manifest" in run("inspect", own / "test.tar").out


def test_inspect_prints_what_is_wrong_and_goes_on(run: Run, own: Path) -> None:
    (own / "train-000001.tar").unlink()
    (own / "test.tar").write_bytes(b"")
    found = parsed(run, "inspect", own)["splits"]
    assert any("train-000001.tar: the manifest names it, and it is not there" in p for p in found["train"]["problems"])
    assert any("it is empty" in problem for problem in found["test"]["problems"])
    assert "problem: " in run("inspect", own).out


def test_inspect_reads_a_dataset_whose_manifest_is_damaged(run: Run, own: Path) -> None:
    (own / "manifest.json").write_text("{")
    done = run("inspect", own, "--json")
    assert done.code == 0
    assert done.err.startswith("atdata: warning: ")
    assert "is not JSON" in json.loads(done.out)["splits"]["test"]["problems"][0]


def test_inspect_lists_all_shards_only_if_asked(run: Run, tmp_path: Path) -> None:
    atdata.write_samples(({"n": n} for n in range(12)), tmp_path / "n.tar", maxcount=1)
    few, all_ = run("inspect", tmp_path), run("inspect", tmp_path, "-v")
    assert "... and 4 more; -v lists all" in few.err
    assert few.out.count(".tar") == 8
    assert all_.out.count(".tar") == 12


# ------------------------------------------------------------------------------------------------- head


def test_head_shows_samples_with_arrays_in_short(run: Run, folder: Path) -> None:
    done = run("head", folder, "-n", "2")
    assert (done.code, done.err) == (0, "")
    heading, first, second = done.out.splitlines()
    assert heading.split() == ["key", "image", "label", "name", "score"]
    assert "uint8 8x8: 0 to 0, mean 0" in first
    assert "digit 1" in second
    assert "None" in second


def test_head_as_json_has_a_stable_form(run: Run, folder: Path) -> None:
    (sample,) = parsed(run, "head", folder, "--split", "test", "-n", "1")
    assert sample["fields"] == {
        "image": {"dtype": "uint8", "shape": [8, 8], "min": 0, "max": 0, "mean": 0.0},
        "label": 0,
        "name": "digit 0",
        "score": 0.0,
    }
    assert len(sample["key"]) == 32


def test_a_shard_may_come_through_a_pipe(run: Run, folder: Path) -> None:
    data = (folder / "test.tar").read_bytes()
    assert [s["fields"]["label"] for s in parsed(run, "head", "-", stdin=data)] == [0, 1, 2, 3, 4]
    assert parsed(run, "stats", "-", stdin=data)["splits"]["train"]["samples"] == 5
    assert parsed(run, "validate", "-", stdin=data)["ok"]
    assert parsed(run, "inspect", "-", stdin=data)["splits"]["train"]["type"] == "DictSample"


@pytest.mark.parametrize("where", ["folder", "glob", "braces", "manifest", "file URL", "shard"])
def test_all_forms_of_a_place_are_taken(run: Run, folder: Path, where: str) -> None:
    forms = {
        "folder": folder,
        "glob": f"{folder}/train-*.tar",
        "braces": f"{folder}/train-{{000000..000002}}.tar",
        "manifest": folder / "manifest.json",
        "file URL": (folder / "train-000000.tar").as_uri(),
        "shard": folder / "train-000000.tar",
    }
    assert [s["fields"]["label"] for s in parsed(run, "head", forms[where], "-n", "3")] == [0, 1, 2]


def test_a_reference_is_looked_up_in_the_index(run: Run, folder: Path, tmp_path: Path) -> None:
    local = pytest.importorskip("atdata.local", reason="atdata-local is not installed")
    index = local.Index(path=tmp_path / "index.sqlite3")
    index.insert_dataset(atdata.load_dataset(folder, split="train"), name="digits")
    found = parsed(run, "stats", "@local/digits", "--field", "label", ATDATA_INDEX_URL=index.url)
    assert found["splits"]["train"]["samples"] == 25
    missing = run("inspect", "@local/letters", ATDATA_INDEX_URL=index.url)
    assert missing.code == 1
    assert missing.err.endswith("In a shell: atdata index list\n")


def test_head_reads_samples_as_a_type_of_the_users(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mytypes.py").write_text(TYPES)
    (sample,) = parsed(run, "head", folder, "-n", "1", "--type", "mytypes:Digit")
    assert list(sample["fields"]) == ["image", "label", "name"]
    wrong = run("head", folder, "--type", "mytypes:Wrong")
    assert wrong.code == 1
    assert "Wrong.image: expected int" in wrong.err
    for name, why in [
        ("mytypes:Nobody", "names no class"),
        ("nobody:X", "names no class"),
        ("mytypes:Plain", "@atdata"),
    ]:
        done = run("head", folder, "--type", name)
        assert done.code == 2
        assert why in done.err


def test_head_writes_a_contact_sheet(run: Run, folder: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    done = run("head", folder, "--image", "image", "--label", "name", "-n", "9")
    assert (done.code, done.out) == (0, "Wrote image.png: 9 pictures of 'image'\n")
    with image.open(tmp_path / "image.png") as sheet:
        assert sheet.size == (3 * 104 + 8, 3 * 118 + 8)
        # the first tile is black, and the last of 8 times as much
        assert sheet.getpixel((8 + 48, 8 + 48)) == (0, 0, 0)
        assert sheet.getpixel((2 * 104 + 56, 2 * 118 + 56)) == (8, 8, 8)
    again = run("head", folder, "--image", "image")
    assert again.code == 1
    assert "--out PATH" in again.err
    named = parsed(run, "head", folder, "--image", "image", "--out", "image.png", "-n", "2")
    assert named == {"path": "image.png", "samples": 2}


def test_a_contact_sheet_takes_image_files_and_all_layouts(run: Run, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    file = io.BytesIO()
    image.new("RGB", (300, 200), "red").save(file, "JPEG")
    pictures: list[Any] = [
        file.getvalue(),
        np.zeros((3, 5, 7), np.float32),
        np.ones((5, 7, 4), bool),
        np.full((5, 7, 1), np.nan, np.float64),
        np.arange(35, dtype=np.int16).reshape(5, 7),
    ]
    atdata.write_samples(({"picture": p} for p in pictures), tmp_path / "pictures.tar")
    done = run("head", "pictures.tar", "--image", "picture")
    assert done.out == "Wrote picture.png: 5 pictures of 'picture'\n", done.err


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (7, "int is no picture"),
        (np.zeros((2, 3, 5, 7), np.uint8), "an array of shape (2, 3, 5, 7) is no picture"),
        (np.zeros((5, 7), "U3"), "an array of dtype <U3 is no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot identify image file"),
        (None, "no sample has a picture"),
    ],
)
def test_what_is_no_picture_is_told_and_nothing_is_written(run: Run, tmp_path: Path, value: Any, why: str) -> None:
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    atdata.write_samples([{"picture": value}], tmp_path / "pictures.tar")
    done = run("head", "pictures.tar", "--image", "picture")
    assert (done.code, done.out) == (1, "")
    assert why in done.err
    assert not list(tmp_path.glob("*.png"))


# ------------------------------------------------------------------------------------------------ stats


def test_stats_tells_the_values_of_each_field(run: Run, folder: Path) -> None:
    train = parsed(run, "stats", folder)["splits"]["train"]
    assert train["samples"] == 25
    image, label, name, score = train["fields"]
    assert image["numbers"] == {
        "count": 25 * 64,
        "min": 0,
        "max": 24,
        "mean": 12.0,
        "std": pytest.approx(np.std(range(25))),
        "not_finite": 0,
    }
    assert image["shapes"] == [{"shape": [8, 8], "count": 25}]
    assert (label["distinct"], label["distinct_is_exact"]) == (10, True)
    assert label["common"][0] == {"value": 0, "count": 3}
    assert name["lengths"]["max"] == len("digit 24")
    assert (score["count"], score["missing"]) == (9, 16)


def test_stats_prints_one_row_for_each_field(run: Run, folder: Path) -> None:
    done = run("stats", folder, "--split", "train", "--field", "label", "--field", "name")
    counted, heading, label, name = done.out.splitlines()
    assert counted == "25 samples"
    assert heading.split()[:4] == ["field", "type", "count", "missing"]
    assert label.split() == ["label", "int", "25", "0", "0", "4", "9", "2.82843", "10"]
    assert name.split() == ["name", "str", "25", "0", "25", "7", "to", "8,", "mean", "7.6"]
    unknown = run("stats", folder, "--field", "labels")
    assert (unknown.code, unknown.out) == (1, "")
    assert "no field 'labels'; the samples have image, label, name, score" in unknown.err


def test_stats_writes_a_report(run: Run, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed")
    done = run("stats", folder, "--split", "train", "--plot", "report.png", MPLCONFIGDIR=str(tmp_path / "m"))
    assert done.code == 0, done.err
    assert done.out.endswith("Wrote report.png\n")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    several = run("stats", folder, "--plot", "report.png")
    assert several.code == 2
    assert "--split train or --split test" in several.err


# --------------------------------------------------------------------------------------------- validate


def test_validate_says_that_all_is_well(run: Run, folder: Path) -> None:
    assert run("validate", folder).out == "4 shards, 30 samples: all is well\n"
    assert run("validate", folder, "-v").err.count("sound\n") == 4
    found = parsed(run, "validate", folder)
    assert found["ok"]
    assert list(found["splits"]["test"]["shards"][0]) == [
        *("name", "samples", "bytes", "sha256", "problems", "problem_count")
    ]


def test_validate_names_what_is_wrong_and_exits_with_1(run: Run, own: Path) -> None:
    shard = own / "train-000001.tar"
    data = bytearray(shard.read_bytes())
    data[shard.stat().st_size // 2] ^= 1
    shard.write_bytes(data)
    (own / "test.tar").write_bytes((own / "test.tar").read_bytes()[:3000])
    done = run("validate", own)
    assert done.code == 1
    assert "it has sha256" in done.out
    assert "truncated" in done.out
    assert done.out.splitlines()[-1].endswith("problems")
    found = parsed(run, "validate", own, code=1)
    assert not found["ok"]
    problem = found["splits"]["train"]["shards"][1]["problems"][0]
    assert list(problem) == ["message", "shard", "key", "offset", "field"]


# ------------------------------------------------------------------------------------------------- diff


def test_diff_of_equal_datasets_is_nothing(run: Run, folder: Path, own: Path) -> None:
    done = run("diff", folder, own)
    assert (done.code, done.err) == (0, "")
    assert parsed(run, "diff", folder, own)["equal"]


def test_diff_names_samples_and_fields(run: Run, tmp_path: Path) -> None:
    atdata.write_samples(({"n": n, "m": 0} for n in range(5)), tmp_path / "a.tar")
    atdata.write_samples(({"n": n, "m": n // 4} for n in range(6)), tmp_path / "b.tar")
    done = run("diff", "a.tar", "b.tar")
    assert done.code == 1
    lines = [line.strip() for line in done.out.splitlines()]
    assert "samples: 5 and 6, matched by position" in lines
    assert "4 equal, 1 differ, 0 only in a.tar, 1 only in b.tar" in lines
    assert "field m: differs in 1" in lines
    found = parsed(run, "diff", "a.tar", "b.tar", code=1)["splits"]["train"]
    assert (found["fields"], found["only"], found["only_in_b"]) == ({"m": 1}, [0, 1], [5])
    assert found["differences"][0]["fields"] == ["m"]


def test_diff_of_single_shards_does_not_mind_their_splits(run: Run, folder: Path) -> None:
    found = parsed(run, "diff", folder / "test.tar", folder / "train-000002.tar", code=1)
    assert found["splits"]["test"]["samples"] == [5, 5]


def test_diff_tells_of_splits_that_only_one_has(run: Run, folder: Path, own: Path) -> None:
    (own / "test.tar").rename(own / "validation.tar")
    done = run("diff", folder, own)
    assert done.code == 1
    assert f"split test: only in {folder}" in done.out
    assert f"split validation: only in {own}" in done.out


def test_diff_refuses_what_makes_no_sense(run: Run, folder: Path) -> None:
    assert "neither key nor position" in run("diff", folder, folder, "--by", "name").err
    assert "read only once" in run("diff", folder, "-").err
    assert run("diff", folder, "-").code == 2


# ------------------------------------------------------------------------------------ hostile and foreign


def test_control_characters_of_data_reach_no_terminal(execute: Run, terminal: Run, run: Run, tmp_path: Path) -> None:
    evil = "\x1b[2J\x9b31m\u202egnp.exe\x07\r"
    atdata.write_samples([{evil: evil, "n": [evil]}], tmp_path / "evil.tar")
    raw = ["\x1b[2J", "\x9b", "\u202e", "\x07", "\r"]
    commands = [["head"], ["inspect"], ["stats"], ["validate"], ["head", "--json"], ["stats", "--json"]]
    for show, arguments in [(execute, ["head"]), (terminal, ["head"]), *((run, command) for command in commands)]:
        done = show(*arguments, "evil.tar")
        assert done.code == 0, done
        assert not [mark for mark in raw if mark in done.out + done.err], (arguments, done)
    assert json.loads(run("head", "evil.tar", "--json").out)[0]["fields"][evil] == evil


def test_names_of_files_are_data_too(execute: Run, tmp_path: Path) -> None:
    atdata.write_samples([{"n": 1}], tmp_path / "x.tar")
    shutil.copy(tmp_path / "x.tar", tmp_path / "y\x1b[31m\n\udce9.tar")
    done = execute("inspect", ".")
    assert done.code == 0
    assert "y\\x1b[31m\\n\\udce9.tar" in done.out
