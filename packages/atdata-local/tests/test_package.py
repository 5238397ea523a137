import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import atdata_local


def test_version_is_that_of_the_installed_distribution() -> None:
    assert atdata_local.__version__ == metadata.version("atdata-local")


def test_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'atdata_local' has no attribute 'NotThere'"):
        getattr(atdata_local, "NotThere")  # noqa: B009


def test_every_public_name_exists() -> None:
    for name in atdata_local.__all__:
        assert hasattr(atdata_local, name)


@pytest.mark.parametrize("use", ["", "Index(path=sys.argv[1]).list_datasets()", "LocalDatasetEntry('a', 'b', ['c'])"])
def test_no_client_library_is_loaded_without_a_server(use: str, tmp_path: Path) -> None:
    libraries = {"boto3", "redis", "redis_om", "pydantic", "atproto", "webdataset", "typer"}
    program = f"import sys; from atdata_local import *; {use}\nprint({libraries} & set(sys.modules))"
    command = [sys.executable, "-c", program, str(tmp_path / "index.sqlite3")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
