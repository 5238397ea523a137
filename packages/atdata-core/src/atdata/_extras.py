"""How atdata reaches the libraries of extras, which need not be installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import BackendNotInstalled


def import_extra(module: str, extra: str, distribution: str = "atdata-core") -> Any:
    """The module ``module`` of a library that the extra ``extra`` of a distribution installs.

    Raises:
        BackendNotInstalled: the library is not installed; says how to install it.
    """
    library = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise BackendNotInstalled(f"{library} is not installed; run: pip install '{distribution}[{extra}]'") from error
