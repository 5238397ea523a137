"""Modules for type checkers: what is in them, that they are never believed, and how they get on disk.

What mypy and pyright see in them is checked in ``tests-consumer``, whose stubs are checked here.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata.errors import SchemaError
from atdata.sample import values_equal
from atdata.schema import Shape, schema_of, stubs, type_of
from atdata.schema.stubs import clear_stubs, import_path, load_stub, stub_text, write_stub

CONSUMER = Path(__file__).resolve().parents[3] / "tests-consumer" / "stubs"


@atdata.packable
class Digit:
    """A digit that somebody wrote."""

    image: Annotated[NDArray[np.uint8], Shape(height=28, width=None)]
    """Ink is 255."""
    label: int
    weights: list[float] = dataclasses.field(default_factory=list)
    note: str | None = None


RECORD = schema_of(Digit)


def named(name: str, *fields: str, **more: Any) -> dict[str, Any]:
    field_type = RECORD["fields"][1]["fieldType"]
    return {
        "name": name,
        "version": "1.0.0",
        "fields": [{"name": field, "fieldType": field_type, "optional": False} for field in fields],
        **more,
    }


def seen_by_checkers(text: str) -> Any:
    """The class that a module defines for type checkers."""
    tree = ast.parse(text)
    (choice,) = [node for node in tree.body if isinstance(node, ast.If)]
    tree.body[tree.body.index(choice) : tree.body.index(choice) + 1] = choice.body
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(tree, "stub", "exec"), names)
    (made,) = (value for value in names.values() if getattr(value, "__module__", None) == __name__)
    return made


def imported(folder: Path, module: str) -> str:
    """What a new Python gets when it imports a module's class."""
    name = module.rpartition(".")[2]
    code = (
        f"from importlib import import_module; made = getattr(import_module({module!r}), {name.split('_1_')[0]!r}); "
        "from atdata.schema import schema_of, type_of; print(made is type_of(schema_of(made)), made)"
    )
    path = os.pathsep.join([str(folder), *sys.path])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_a_stub_says_what_a_person_would_write() -> None:
    text = stub_text(RECORD)
    checkers, _, python = text.partition("else:\n")
    assert (
        checkers
        == '''\
# Made by atdata from a schema; changes are lost.
from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    import numpy as np
    from typing import Annotated
    from numpy.typing import NDArray
    from atdata import PackableSample
    from atdata.schema import Shape
    from dataclasses import dataclass
    from dataclasses import field

    @dataclass
    class Digit(PackableSample):
        """A digit that somebody wrote."""

        image: Annotated[NDArray[np.uint8], Shape(height=28, width=None)]
        """Ink is 255."""
        label: int
        weights: list[float] = field(default_factory=list[float])
        note: str | None = None

'''
    )
    assert python.startswith("    from atdata.schema import type_of\n\n    Digit = type_of(\n")


def test_where_a_stub_is_and_what_to_import(tmp_path: Path) -> None:
    assert import_path(RECORD) == "local.Digit_1_0_0"
    path = write_stub(RECORD, tmp_path / "new" / "stubs")
    assert path == tmp_path / "new" / "stubs" / "local" / "Digit_1_0_0.py"
    assert path.read_text() == stub_text(RECORD)
    assert import_path(RECORD, package="alice") == "alice.Digit_1_0_0"
    assert write_stub(RECORD, str(tmp_path), package="alice").parent == tmp_path / "alice"
    assert imported(tmp_path, "alice.Digit_1_0_0") == f"True {type_of(RECORD)!r}"


def test_versions_have_a_module_each() -> None:
    versions = ["1.0.0", "1.0.1", "1.0.0-rc.1", "1.0.0-rc-1", "1.0.0+rc.1", "11.0.0", "1.10.0"]
    paths = [import_path({**RECORD, "version": version}) for version in versions]
    assert len({*paths}) == len(versions)
    assert all(part.isidentifier() for path in paths for part in path.split("."))


def test_loading_gives_the_class_that_importing_gives(tmp_path: Path) -> None:
    made = load_stub(RECORD, tmp_path)
    assert made is type_of(RECORD)
    assert (tmp_path / "local" / "Digit_1_0_0.py").is_file()


class TestWhatIsOnDisk:
    def test_a_module_that_was_changed_is_never_run_and_written_anew(self, tmp_path: Path) -> None:
        path = write_stub(RECORD, tmp_path)
        bait = tmp_path / "bait"
        for text in (f"open({str(bait)!r}, 'w')", stub_text(RECORD) + f"open({str(bait)!r}, 'w')\n", "", "def"):
            path.write_text(text)
            assert load_stub(RECORD, tmp_path) is type_of(RECORD)
            assert path.read_text() == stub_text(RECORD)
        assert not bait.exists()

    def test_a_module_is_written_anew_when_its_schema_changes(self, tmp_path: Path) -> None:
        path = write_stub(RECORD, tmp_path)
        other = {**RECORD, "fields": RECORD["fields"][:2]}
        assert write_stub(other, tmp_path) == path
        assert path.read_text() == stub_text(other) != stub_text(RECORD)

    def test_one_that_is_right_is_left_alone(self, tmp_path: Path) -> None:
        path = write_stub(RECORD, tmp_path)
        before = path.stat()
        write_stub(json.loads(json.dumps({**RECORD, "createdAt": "now"})), tmp_path)
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_files_have_the_mode_that_the_user_wants(self, tmp_path: Path) -> None:
        for mask, expected in ((0o022, 0o644), (0o077, 0o600)):
            old = os.umask(mask)
            try:
                path = write_stub(RECORD, tmp_path / f"{mask:o}")
            finally:
                os.umask(old)
            assert stat.S_IMODE(path.stat().st_mode) == expected

    def test_nothing_else_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_stub(RECORD, tmp_path)
        assert [*path.parent.iterdir()] == [path]

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:  # a full disk cannot be had in a test
            patched.setattr(os, "replace", full)
            with pytest.raises(OSError, match="No space left"):
                write_stub({**RECORD, "version": "2.0.0"}, tmp_path)
        assert [*path.parent.iterdir()] == [path]

    def test_a_link_is_replaced_and_what_it_leads_to_left_alone(self, tmp_path: Path) -> None:
        other = tmp_path / "other.py"
        other.write_text(stub_text(RECORD))
        link = tmp_path / "local" / "Digit_1_0_0.py"
        link.parent.mkdir()
        link.symlink_to(other)
        write_stub({**RECORD, "description": "new"}, tmp_path)
        assert not link.is_symlink()
        assert other.read_text() == stub_text(RECORD)

    def test_a_package_that_is_a_link_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "stubs").mkdir()
        (tmp_path / "stubs" / "local").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(SchemaError, match="local leads to another place; remove it"):
            write_stub(RECORD, tmp_path / "stubs")
        assert [*(tmp_path / "elsewhere").iterdir()] == []
        (tmp_path / "elsewhere" / "Digit_1_0_0.py").write_text(stub_text(RECORD))
        assert clear_stubs(tmp_path / "stubs") == 0

    def test_what_is_no_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "stubs").write_text("")
        with pytest.raises(OSError, match="stubs"):
            write_stub(RECORD, tmp_path / "stubs")

    def test_racing_writers_leave_a_whole_module(self, tmp_path: Path) -> None:
        records = [{**RECORD, "description": f"number {n} " * 1000} for n in range(4)]
        texts = {stub_text(record).encode() for record in records}
        path = write_stub(records[0], tmp_path)
        seen: set[bytes] = set()
        done = threading.Event()

        def write(record: Any) -> None:
            for _ in range(30):
                write_stub(record, tmp_path)

        def watch() -> None:
            while not done.is_set():
                seen.add(path.read_bytes())

        writers = [threading.Thread(target=write, args=(record,)) for record in records]
        watcher = threading.Thread(target=watch)
        for thread in (watcher, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        watcher.join()
        assert seen <= texts
        assert [*path.parent.iterdir()] == [path]

    def test_clearing_removes_what_was_made_and_nothing_else(self, tmp_path: Path) -> None:
        for version in ("1.0.0", "1.0.1"):
            write_stub({**RECORD, "version": version}, tmp_path)
        write_stub(RECORD, tmp_path, package="alice")
        cached = tmp_path / "alice" / "__pycache__"
        cached.mkdir()
        (cached / "Digit_1_0_0.cpython-311.pyc").write_text("")
        own = tmp_path / "local" / "mine.py"
        own.write_text("# mine")
        assert clear_stubs(tmp_path) == 3
        assert [*tmp_path.rglob("*")] == [own.parent, own]
        assert clear_stubs(tmp_path) == 0
        assert clear_stubs(tmp_path / "nowhere") == 0


@pytest.mark.parametrize("package", ["", "..", "a.b", "a/b", "/etc", "class", "class x", "a\n"])
def test_a_package_is_one_name(package: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="cannot be the name of a package"):
        write_stub(RECORD, tmp_path, package=package)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("use", [write_stub, load_stub])
def test_hostile_records_get_no_file(use: Any, tmp_path: Path) -> None:
    for record in (
        {},
        named("../../x"),
        named("A", "x: int\n    import os"),
        named("A", "class"),
        {**RECORD, "version": "1"},
    ):
        with pytest.raises(SchemaError):
            use(record, tmp_path)
    assert [*tmp_path.iterdir()] == []


NEEDED = [*stubs._MODULES, *stubs._IMPORTED, "typing_", "int_", "np_"]


@pytest.mark.parametrize("taken", [[name] for name in NEEDED] + [NEEDED], ids=lambda taken: taken[0])
def test_names_that_the_module_needs_itself_may_be_taken(taken: list[str]) -> None:
    fields = [*RECORD["fields"][:1], *named("A", *taken)["fields"], *RECORD["fields"][2:]]
    for record in ({**RECORD, "fields": fields}, {**RECORD, "name": taken[0]}):
        made = seen_by_checkers(stub_text(record))
        assert made.__name__ == record["name"]
        assert fields_of(made) == fields_of(type_of(record))


TEXTS = [
    "plain",
    'three """ quotes',
    'ends with "',
    "ends with \\",
    "\\x41 \\n \\N{BULLET}",
    "two\nlines\n",
    "\n\n",
    "carriage\rreturn",
    "nul \x00 tab \t",
    "line \u2028 separator \x85 and \u202e turned",
    "{braces} %s $x",
    '"""\nimport os\nos.system("true")\n"""',
    "'''",
    "ünïcödé \U0001f600",
]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_texts_of_records_stay_texts(text: str, tmp_path: Path) -> None:
    record = json.loads(json.dumps(RECORD))
    record["description"] = record["fields"][1]["description"] = text
    record["fields"][3]["default"] = json.dumps(text)
    tree = ast.parse(stub_text(record))
    assert [type(node).__name__ for node in tree.body] == ["ImportFrom", "Import", "If"]
    made = seen_by_checkers(stub_text(record))
    assert inspect.cleandoc(made.__doc__) == inspect.cleandoc(text)
    assert made(None, 1).note == text
    names: dict[str, Any] = {}
    exec(stub_text(record), names)
    assert names["Digit"] is type_of(record)
    assert load_stub(record, tmp_path) is type_of(record)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.sampled_from(["a", "b", "int", "list", "field", "np", "NDArray", "_x", "typing", "Any", "Digit"])


@st.composite
def records(draw: Any) -> Any:
    types = "ac.foundation.dataset.schemaType"
    fields = []
    for name in draw(st.lists(names, max_size=4, unique=True)):
        kind = draw(st.sampled_from(["str", "int", "float", "bool", "bytes", None]))
        field_type: dict[str, Any] = {"$type": f"{types}#primitive", "primitive": kind}
        if kind is None:
            field_type = {
                "$type": f"{types}#ndarray",
                "dtype": draw(st.sampled_from(["float32", "int8", "str", "bool"])),
            }
            if draw(st.booleans()):
                field_type["shape"] = draw(st.lists(st.integers(-1, 5), max_size=3))
        values = {"str": words.map(json.dumps), "float": st.sampled_from(['"NaN"', "1.5", "-0.0", '"-Infinity"'])}
        default = draw(values.get(kind, st.none()))
        if draw(st.booleans()):
            field_type = {"$type": f"{types}#array", "items": field_type}
            default = default and f"[{default}, {default}]"
        item = {"name": name, "fieldType": field_type, "optional": draw(st.booleans())}
        fields.append(
            item | ({"default": default} if default else {}) | ({"description": "d"} if draw(st.booleans()) else {})
        )
    return {"name": draw(names), "version": "1.0.0", "fields": fields}


def fields_of(made: Any) -> list[dict[str, Any]]:
    """The fields in a class's schema, without what only its record or its source tells."""
    fields = schema_of(made)["fields"]
    return [{key: item[key] for key in ("name", "fieldType", "optional")} for item in fields]


def defaults_of(made: Any) -> list[Any]:
    return [
        item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
        for item in dataclasses.fields(made)
    ]


@settings(deadline=None, max_examples=200)
@given(records())
def test_checkers_see_what_python_makes(record: Any) -> None:
    seen, made = seen_by_checkers(stub_text(record)), type_of(record)
    assert fields_of(seen) == fields_of(made)
    assert values_equal(defaults_of(seen), defaults_of(made))
    ours, theirs = (inspect.signature(each).parameters.values() for each in (seen, made))
    assert [(item.name, item.kind) for item in ours] == [(item.name, item.kind) for item in theirs]
    assert [item.default is inspect.Parameter.empty for item in ours] == [
        item.default is inspect.Parameter.empty for item in theirs
    ]


@pytest.mark.parametrize("path", sorted(CONSUMER.glob("*/*.py")), ids=lambda path: path.stem)
def test_the_stubs_that_type_checkers_are_tried_on_are_what_is_written(path: Path) -> None:
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patched:
        records: list[Any] = []
        patched.setattr("atdata.schema.type_of", records.append)
        exec(path.read_text(), names)
    (record,) = records
    assert path.read_text() == stub_text(record), f"write_stub({record!r}, 'tests-consumer/stubs') writes it anew"
    assert path.relative_to(CONSUMER).with_suffix("").as_posix().replace("/", ".") == import_path(record)


def test_there_are_stubs_for_type_checkers() -> None:
    assert {path.stem for path in CONSUMER.glob("*/*.py")} == {"Digit_1_0_0", "Odd_2_0_0"}
