"""Typed datasets: samples are dataclasses, datasets are tar shards, and an index is where they are found.

Names are imported when they are first used, so that ``import atdata`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import version as _version

    from atdata_atmosphere import BlobSource as BlobSource
    from atdata_local import S3Source as S3Source

    from . import atmosphere as atmosphere
    from . import cid as cid
    from . import config as config
    from . import errors as errors
    from . import local as local
    from . import plugins as plugins
    from . import promote as promote
    from . import protocols as protocols
    from . import schema as schema
    from . import testing as testing
    from . import uri as uri
    from .batch import SampleBatch as SampleBatch
    from .dataset import Dataset as Dataset
    from .errors import AtdataError as AtdataError
    from .feed.skipping import SampleSkipped as SampleSkipped
    from .feed.skipping import Skip as Skip
    from .feed.stream import SampleStream as SampleStream
    from .lens import Lens as Lens
    from .lens import LensNetwork as LensNetwork
    from .lens import lens as lens
    from .load import load_dataset as load_dataset
    from .look.comparison import compare as compare
    from .look.inspection import inspect as inspect
    from .look.statistics import stats as stats
    from .look.validation import validate as validate
    from .protocols import AbstractDataStore as AbstractDataStore
    from .protocols import AbstractIndex as AbstractIndex
    from .protocols import DataSource as DataSource
    from .protocols import IndexEntry as IndexEntry
    from .protocols import Packable as Packable
    from .sample import DictSample as DictSample
    from .sample import PackableSample as PackableSample
    from .sample import packable as packable
    from .select import concat as concat
    from .select import interleave as interleave
    from .sources.url import URLSource as URLSource
    from .splits import DatasetDict as DatasetDict
    from .write import ShardWriter as ShardWriter
    from .write import write_samples as write_samples

    __version__ = _version("atdata-core")

_HOME = {
    "AbstractDataStore": "protocols",
    "AbstractIndex": "protocols",
    "AtdataError": "errors",
    "DataSource": "protocols",
    "Dataset": "dataset",
    "DatasetDict": "splits",
    "DictSample": "sample",
    "IndexEntry": "protocols",
    "Lens": "lens",
    "LensNetwork": "lens",
    "Packable": "protocols",
    "PackableSample": "sample",
    "SampleBatch": "batch",
    "SampleSkipped": "feed.skipping",
    "SampleStream": "feed.stream",
    "ShardWriter": "write",
    "Skip": "feed.skipping",
    "URLSource": "sources.url",
    "compare": "look.comparison",
    "concat": "select",
    "interleave": "select",
    "inspect": "look.inspection",
    "load_dataset": "load",
    "packable": "sample",
    "stats": "look.statistics",
    "validate": "look.validation",
    "write_samples": "write",
}
_MODULES = {
    "atmosphere",
    "cid",
    "config",
    "errors",
    "lens",
    "local",
    "plugins",
    "promote",
    "protocols",
    "schema",
    "testing",
    "uri",
}
_BACKENDS = {"BlobSource": "atdata_atmosphere", "S3Source": "atdata_local"}

# Backends' names are left out: a star import would fail where they are not installed.
__all__ = [
    "AbstractDataStore",
    "AbstractIndex",
    "AtdataError",
    "DataSource",
    "Dataset",
    "DatasetDict",
    "DictSample",
    "IndexEntry",
    "Lens",
    "LensNetwork",
    "Packable",
    "PackableSample",
    "SampleBatch",
    "SampleSkipped",
    "SampleStream",
    "ShardWriter",
    "Skip",
    "URLSource",
    "compare",
    "concat",
    "inspect",
    "interleave",
    "lens",
    "load_dataset",
    "packable",
    "stats",
    "validate",
    "write_samples",
]

if not TYPE_CHECKING:  # checkers know the names above and should report any other

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in _HOME:
            value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        elif name in _MODULES:
            value = import_module(f"{__name__}.{name}")
        elif name in _BACKENDS:
            from ._facade import backend_attribute

            value = backend_attribute(_BACKENDS[name], name)
        elif name == "__version__":
            from importlib.metadata import version

            value = version("atdata-core")
        else:
            # with these, Python asks whether something like it was meant
            this = import_module(__name__)
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=this)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        # without the backends' names: inspect.getmembers would ask for each, installed or not
        return sorted({*globals(), *_HOME, *_MODULES, "__version__"})
