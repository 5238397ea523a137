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
    assert set(atdata_atmosphere.__all__) <= set(dir(atdata_atmosphere))
    assert atdata_atmosphere.Client is atdata_atmosphere.AtmosphereClient


def test_import_loads_no_client_library() -> None:
    late = {"boto3", "redis", "atproto", "atproto_client", "httpx", "pydantic", "numpy"}
    program = f"import sys, atdata_atmosphere; print({late} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_errors_are_found_by_all_three_names() -> None:
    from atproto.exceptions import AtProtocolError

    from atdata.errors import AtdataError
    from atdata_atmosphere import errors

    for name in errors.__all__:
        kind = getattr(errors, name)
        if issubclass(kind, Warning):
            continue
        made = kind("what happened")
        assert isinstance(made, AtdataError)
        assert isinstance(made, AtProtocolError)
        assert str(made) == "what happened"
        assert made.response is None
