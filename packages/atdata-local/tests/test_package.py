import subprocess
import sys
from importlib import metadata

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


def test_import_loads_no_client_library() -> None:
    program = "import sys, atdata_local; print({'boto3', 'redis', 'redis_om', 'atproto'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
