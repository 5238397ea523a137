import subprocess
import sys
from importlib import metadata

import pytest

import atdata_atmosphere


def test_version_is_that_of_the_installed_distribution() -> None:
    assert atdata_atmosphere.__version__ == metadata.version("atdata-atmosphere")


def test_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'atdata_atmosphere' has no attribute 'NotThere'"):
        getattr(atdata_atmosphere, "NotThere")  # noqa: B009


def test_every_public_name_exists() -> None:
    for name in atdata_atmosphere.__all__:
        assert hasattr(atdata_atmosphere, name)


def test_import_loads_no_client_library() -> None:
    program = "import sys, atdata_atmosphere; print({'boto3', 'redis', 'redis_om', 'atproto'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
