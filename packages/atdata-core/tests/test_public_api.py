"""What ``import atdata`` offers, and what it costs."""

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

import atdata

HEAVY = {
    "PIL",
    "atdata_atmosphere",
    "atdata_local",
    "atproto",
    "boto3",
    "botocore",
    "fsspec",
    "ormsgpack",
    "pandas",
    "pyarrow",
    "pydantic",
    "redis",
    "redis_om",
    "requests",
    "tarfile",
    "torch",
    "webdataset",
    "yaml",
}
MODULES = [
    "atdata._protocols",
    "atdata.batch",
    "atdata.dataset",
    "atdata.errors",
    "atdata.load",
    "atdata.protocols",
    "atdata.sample",
    "atdata.schema",
    "atdata.sources",
    "atdata.sources.trust",
    "atdata.sources.url",
    "atdata.splits",
    "atdata.write",
]


def fresh(code):
    """Run code in a Python that has imported nothing; what it prints."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_every_public_name_is_there_and_has_a_docstring():
    for name in atdata.__all__:
        thing = getattr(atdata, name)
        assert inspect.isclass(thing) or callable(thing), name
        assert inspect.getdoc(thing), name


def test_all_has_the_names_of_the_documentation():
    assert {
        "AbstractDataStore",
        "AbstractIndex",
        "DataSource",
        "Dataset",
        "DatasetDict",
        "DictSample",
        "IndexEntry",
        "Packable",
        "PackableSample",
        "SampleBatch",
        "ShardWriter",
        "URLSource",
        "load_dataset",
        "packable",
        "write_samples",
    } <= set(atdata.__all__)
    assert atdata.__all__ == sorted(set(atdata.__all__))


def test_dir_lists_names_and_modules():
    assert set(atdata.__all__) | {"errors", "protocols", "plugins", "schema", "local"} <= set(dir(atdata))


def test_a_star_import_gives_all_names_and_needs_no_backend():
    names = set(fresh("from atdata import *; print(*dir())").split())
    assert set(atdata.__all__) <= names


def test_names_are_the_same_object_wherever_they_are_imported_from():
    assert importlib.import_module("atdata.dataset").Dataset is atdata.Dataset
    assert importlib.import_module("atdata.sample").packable is atdata.packable
    assert importlib.import_module("atdata.sources.url").URLSource is atdata.URLSource
    assert atdata.Dataset is atdata.Dataset


def test_an_unknown_name_is_an_attribute_or_import_error_that_names_it():
    with pytest.raises(AttributeError, match="'atdata' has no attribute 'Datset'"):
        _ = atdata.Datset
    with pytest.raises(ImportError, match="Datset"):
        exec("from atdata import Datset")
    assert not hasattr(atdata, "__wrapped__")


def test_protocols_are_importable_under_both_names():
    from atdata import _protocols, protocols

    for name in ("AbstractDataStore", "AbstractIndex", "DataSource", "IndexEntry", "Packable"):
        assert getattr(_protocols, name) is getattr(protocols, name) is getattr(atdata, name)
    assert set(_protocols.__all__) == set(protocols.__all__)


def test_version_is_that_of_the_distribution():
    assert atdata.__version__ == version("atdata-core")
    assert re.match(r"\d+\.\d+", atdata.__version__)


def test_importing_the_package_imports_next_to_nothing():
    loaded = fresh("import atdata, sys; print(*sys.modules)").split()
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in loaded)
    assert "numpy" not in loaded
    assert [name for name in loaded if name.startswith("atdata.")] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_be_imported_first_and_imports_no_backend_and_no_torch(module):
    loaded = fresh(f"import {module}, sys; print(*sys.modules)").split()
    assert (HEAVY - {"ormsgpack", "tarfile"}).isdisjoint(name.partition(".")[0] for name in loaded)


def test_defining_samples_writing_and_reading_imports_no_backend(tmp_path):
    code = f"""
import sys, atdata
@atdata.packable
class Word:
    text: str
dataset = atdata.write_samples([Word(text="a")], {str(tmp_path / "d.tar")!r})
assert [word.text for word in dataset] == ["a"], dataset
assert repr(dataset)
print(*sys.modules)
"""
    loaded = {name.partition(".")[0] for name in fresh(code).split()}
    assert HEAVY - {"ormsgpack", "tarfile", "webdataset"} - loaded == HEAVY - {"ormsgpack", "tarfile", "webdataset"}
    assert "webdataset" not in loaded


def test_streams_are_the_only_thing_that_needs_webdataset():
    assert "webdataset" in fresh("import atdata, sys; atdata.Dataset('x.tar').ordered(); print(*sys.modules)").split()


def test_the_package_is_typed():
    assert (Path(atdata.__file__).parent / "py.typed").exists()


def test_importing_warns_of_nothing_and_prints_nothing():
    assert fresh("import atdata; from atdata import *") == ""


# ------------------------------------------------------------------------------------------- docstrings

PACKAGE = Path(atdata.__file__).parent
# the engine is nobody's to call
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "shard" not in path.relative_to(PACKAGE).parts)


def public_definitions(tree, prefix=""):
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            overloaded = any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)
            if not overloaded:
                yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_public_definitions_have_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body, "the module"
    bare = [name for name, node in public_definitions(tree) if not ast.get_docstring(node)]
    assert bare == []


def test_every_error_inherits_the_base_and_a_builtin():
    from atdata import errors

    kinds = [thing for thing in vars(errors).values() if inspect.isclass(thing) and thing.__module__ == errors.__name__]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, errors.AtdataError)
        assert kind is errors.AtdataError or any(
            base.__module__ == "builtins" and base not in (Exception, BaseException, object) for base in kind.__mro__
        )


def test_every_module_of_the_package_can_be_imported():
    skipped = {"atdata.local", "atdata.atmosphere", "atdata.promote"}
    if not find_spec("torch"):
        skipped |= {"atdata.export.parcel", "atdata.export.tensors", "atdata.export.torch"}
    names = [info.name for info in pkgutil.walk_packages(atdata.__path__, "atdata.") if info.name not in skipped]
    for name in names:
        assert importlib.import_module(name)
