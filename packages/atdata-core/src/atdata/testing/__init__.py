"""What tests of sample types, lenses and backends need.

The contracts are test classes, for which pytest must be installed; they are imported when they are used.
"""

from typing import TYPE_CHECKING

from .laws import LensLawBroken, check_lens_laws

if TYPE_CHECKING:
    from .indexes import AbstractIndexContract as AbstractIndexContract
    from .sources import DataSourceContract as DataSourceContract
    from .stores import DataStoreContract as DataStoreContract

__all__ = [
    "AbstractIndexContract",
    "DataSourceContract",
    "DataStoreContract",
    "LensLawBroken",
    "check_lens_laws",
]

if not TYPE_CHECKING:
    _CONTRACTS = {
        "AbstractIndexContract": "indexes",
        "DataSourceContract": "sources",
        "DataStoreContract": "stores",
    }

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _CONTRACTS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_CONTRACTS[name]}"), name)
