"""How core reaches a backend package without importing it before it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from atdata.errors import AtdataError, BackendNotInstalled

if TYPE_CHECKING:
    from types import ModuleType


class BackendBroken(AtdataError, ImportError):
    """A backend is installed but cannot be imported, or its installed version has no such module."""


def members(module: str, own: Mapping[str, Any]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a module that stands for a backend's, given what it has itself."""
    return partial(backend_attribute, module), lambda: [*own, *backend_names(module)]


def backend_attribute(module: str, name: str) -> Any:
    """The attribute `name` of the backend module `module`, such as ``atdata_local``, imported on first use.

    Raises:
        AttributeError: the installed version has no such name, or `name` is one of Python's own (``__wrapped__``,
            ``__path__``, ...), which never import the backend.
        BackendNotInstalled: the backend's distribution is not installed.
        BackendBroken: the backend is installed and fails to import, or its version has no such module.
    """
    # inspect, doctest, copy and import itself probe modules for such names. `__all__` only a star import asks for.
    if name.startswith("__") and name.endswith("__") and name != "__all__":
        raise AttributeError(f"the facade of {module!r} has no attribute {name!r}")
    backend = _import_backend(module)
    if name == "__all__":
        return _public_names(backend)
    try:
        return getattr(backend, name)
    except AttributeError as error:
        raise AttributeError(f"module {module!r} has no attribute {name!r} in {_release(module)}") from error


def backend_names(module: str) -> list[str]:
    """The public names of a backend module, for ``dir()``; none where the backend cannot be imported."""
    try:
        return _public_names(_import_backend(module))
    except ImportError:  # dir() may never fail; using a name tells the cause.
        return []


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _public_names(module: ModuleType) -> list[str]:
    declared: list[str] | None = getattr(module, "__all__", None)
    return declared if declared is not None else [name for name in vars(module) if not name.startswith("_")]


def _import_backend(module: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing == package:
            extra = package.removeprefix("atdata_")
            raise BackendNotInstalled(
                f"{_distribution(module)} is not installed; run: pip install 'atdata-core[{extra}]'"
            ) from error
        if missing == module:
            raise BackendBroken(f"there is no module {module!r} in {_release(module)}") from error
        raise BackendBroken(f"{_release(module)} cannot be imported: {type(error).__name__}: {error}") from error


def _distribution(module: str) -> str:
    return module.partition(".")[0].replace("_", "-")


def _release(module: str) -> str:
    distribution = _distribution(module)
    return f"{distribution} {installed_version(distribution) or '(version unknown)'}"
