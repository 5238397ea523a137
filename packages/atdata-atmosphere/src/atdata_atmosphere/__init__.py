"""The atdata backend for the AT Protocol network: schemas, datasets and lenses as records that anybody can find.

Names are imported when they are first used: the ``atproto`` SDK, which takes a while, comes with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atdata.uri import AtUri as AtUri

    from . import errors as errors
    from . import lexicon as lexicon
    from .blob_source import BlobSource as BlobSource
    from .blob_store import PDSBlobStore as PDSBlobStore
    from .client import AtmosphereClient as AtmosphereClient
    from .client import AtmosphereClient as Client
    from .datasets import DatasetLoader as DatasetLoader
    from .datasets import DatasetPublisher as DatasetPublisher
    from .entry import AtmosphereIndexEntry as AtmosphereIndexEntry
    from .index import AtmosphereIndex as AtmosphereIndex
    from .lenses import LensLoader as LensLoader
    from .lenses import LensPublisher as LensPublisher
    from .schemas import SchemaLoader as SchemaLoader
    from .schemas import SchemaPublisher as SchemaPublisher
    from .verification import Report as Report
    from .verification import verify as verify

    __version__: str

_HOME = {
    "AtUri": "atdata.uri",
    "AtmosphereClient": ".client",
    "AtmosphereIndex": ".index",
    "AtmosphereIndexEntry": ".entry",
    "BlobSource": ".blob_source",
    "DatasetLoader": ".datasets",
    "DatasetPublisher": ".datasets",
    "LensLoader": ".lenses",
    "LensPublisher": ".lenses",
    "PDSBlobStore": ".blob_store",
    "Report": ".verification",
    "SchemaLoader": ".schemas",
    "SchemaPublisher": ".schemas",
    "verify": ".verification",
}
_MODULES = {"errors", "lexicon"}

__all__ = [
    "AtUri",
    "AtmosphereClient",
    "AtmosphereIndex",
    "AtmosphereIndexEntry",
    "BlobSource",
    "Client",
    "DatasetLoader",
    "DatasetPublisher",
    "LensLoader",
    "LensPublisher",
    "PDSBlobStore",
    "Report",
    "SchemaLoader",
    "SchemaPublisher",
    "verify",
]

if not TYPE_CHECKING:  # checkers know the names above and should report any other

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name == "Client":
            value = __getattr__("AtmosphereClient")
        elif name in _HOME:
            value = getattr(import_module(_HOME[name], __name__), name)
        elif name in _MODULES:
            value = import_module(f"{__name__}.{name}")
        elif name == "__version__":
            from importlib.metadata import version

            value = version("atdata-atmosphere")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_MODULES, "__version__"})
