"""`atdata.local`, `atdata.atmosphere` and `atdata.promote`, with their backends absent, present, old or broken.

Each case runs in its own interpreter, so none depends on which backends are installed.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FACADES = {
    "atdata.local": "atdata_local",
    "atdata.atmosphere": "atdata_atmosphere",
    "atdata.promote": "atdata_atmosphere",
}

# Blocks the import of the modules named in its argument, as though they were not installed.
BLOCKER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run(program: str, folder: Path, *, absent: tuple[str, ...] = ()) -> str:
    """What `program` prints in a new interpreter that looks for packages in `folder` first."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKER.format(packages=absent) + textwrap.dedent(program)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write_backend(folder: Path, package: str, *, init: str, version: str = "0.0.7") -> None:
    """Put a backend package and its distribution's metadata into `folder`."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text(textwrap.dedent(init))
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    name = package.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.parametrize(("facade", "package"), FACADES.items())
def test_importing_a_facade_imports_no_backend(facade: str, package: str, tmp_path: Path) -> None:
    program = f"import {facade}; print({package!r} in sys.modules)"
    assert run(program, tmp_path) == "False"
    assert run(program, tmp_path, absent=(package,)) == "False"


@pytest.mark.parametrize(
    ("facade", "extra"),
    [("atdata.local", "local"), ("atdata.atmosphere", "atmosphere"), ("atdata.promote", "atmosphere")],
)
@pytest.mark.parametrize(
    "use", ["from {facade} import Anything", "import {facade}; {facade}.Anything", "from {facade} import *"]
)
def test_missing_backend_raises_with_the_line_that_installs_it(
    facade: str, extra: str, use: str, tmp_path: Path
) -> None:
    program = f"""
        from atdata.errors import AtdataError, BackendNotInstalled
        try:
            exec({use.format(facade=facade)!r})
        except BackendNotInstalled as error:
            assert isinstance(error, ImportError) and isinstance(error, AtdataError)
            print(error)
    """
    expected = f"atdata-{extra} is not installed; run: pip install 'atdata-core[{extra}]'"
    assert run(program, tmp_path, absent=(FACADES[facade],)) == expected


def test_installed_backend_is_reached_through_the_facade(tmp_path: Path) -> None:
    write_backend(tmp_path, "atdata_local", init="__all__ = ['Index']\nclass Index: ...\n_private = 3")
    program = """
        import atdata.local, atdata_local
        from atdata.local import Index, _private
        assert Index is atdata_local.Index is atdata.local.Index
        assert _private == 3
        assert "Index" in dir(atdata.local)
    """
    run(program, tmp_path)


@pytest.mark.parametrize("declared", ["__all__ = ['Index']", ""])
def test_star_import_from_a_facade_gives_the_public_names_of_the_backend(declared: str, tmp_path: Path) -> None:
    write_backend(tmp_path, "atdata_local", init=f"{declared}\nclass Index: ...\n_private = 3")
    program = """
        names = {}
        exec("from atdata.local import *", names)
        print(sorted(set(names) - {"__builtins__"}))
    """
    assert run(program, tmp_path) == "['Index']"


def test_name_that_the_installed_version_lacks_is_an_attribute_error_that_names_the_version(tmp_path: Path) -> None:
    write_backend(tmp_path, "atdata_local", init="")
    program = """
        import atdata.local
        assert not hasattr(atdata.local, "Later")
        try:
            atdata.local.Later
        except AttributeError as error:
            print(error)
    """
    assert run(program, tmp_path) == "module 'atdata_local' has no attribute 'Later' in atdata-local 0.0.7"


def test_module_that_the_installed_version_lacks_is_an_import_error_that_names_the_version(tmp_path: Path) -> None:
    write_backend(tmp_path, "atdata_atmosphere", init="")
    program = """
        from atdata.errors import BackendNotInstalled
        try:
            from atdata.promote import promote_to_atmosphere
        except ImportError as error:
            assert not isinstance(error, BackendNotInstalled)
            print(error)
    """
    assert run(program, tmp_path) == "there is no module 'atdata_atmosphere.promote' in atdata-atmosphere 0.0.7"


def test_backend_whose_own_dependency_is_missing_is_not_called_missing(tmp_path: Path) -> None:
    write_backend(tmp_path, "atdata_atmosphere", init="import a_dependency_that_is_not_there")
    program = """
        from atdata.errors import AtdataError, BackendNotInstalled
        for facade in "atmosphere", "promote":
            try:
                exec(f"from atdata.{facade} import Anything")
            except ImportError as error:
                assert isinstance(error, AtdataError) and not isinstance(error, BackendNotInstalled)
                assert error.__cause__.name == "a_dependency_that_is_not_there"
                print(error)
    """
    line = (
        "atdata-atmosphere 0.0.7 cannot be imported: "
        "ModuleNotFoundError: No module named 'a_dependency_that_is_not_there'"
    )
    assert run(program, tmp_path) == f"{line}\n{line}"


def test_probing_a_facade_imports_no_backend(tmp_path: Path) -> None:
    program = """
        import doctest, importlib, inspect
        for name in "local", "atmosphere", "promote":
            facade = importlib.import_module(f"atdata.{name}")
            for probe in "__path__", "__wrapped__", "__test__", "__deepcopy__":
                assert not hasattr(facade, probe)
            assert facade.__file__.endswith(f"{name}.py")
            inspect.unwrap(facade), inspect.getsource(facade), inspect.getdoc(facade)
            doctest.DocTestFinder().find(facade)
        print([name for name in sys.modules if name.startswith(("atdata_local", "atdata_atmosphere"))])
    """
    assert run(program, tmp_path) == "[]"


def test_dir_of_a_facade_works_without_its_backend(tmp_path: Path) -> None:
    program = "import atdata.local; print('__name__' in dir(atdata.local))"
    assert run(program, tmp_path, absent=("atdata_local",)) == "True"
