"""Other formats. Each is a module here whose class ``Peer`` is a ``Format``, and one line in ``PEERS``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..formats import Format

# A newer one, or one without a version, may bring gigabytes for graphics cards.
TORCH = "torch==2.13.0"


class Needs(NamedTuple):
    """What a peer needs.

    Attributes:
        module: what it imports.
        install: what pip installs for it.
        install_alone: what pip installs for it without dependencies.
    """

    module: str
    install: tuple[str, ...]
    install_alone: tuple[str, ...] = ()


PEERS = {
    "webdataset_npy": Needs("webdataset", ()),
    # It asks for a NumPy of 2024, for all clouds' clients and for torchvision, and reads local files without them.
    "mosaic": Needs(
        "streaming",
        (TORCH, "transformers", "tqdm", "xxhash", "Brotli", "python-snappy", "zstd", "catalogue"),
        ("mosaicml-streaming",),
    ),
    "litdata": Needs("litdata", (TORCH, "litdata")),
    "huggingface": Needs("datasets", ("datasets",)),
    "arrow": Needs("pyarrow", ("pyarrow",)),
    "lance": Needs("lance", ("pylance", "pyarrow")),
    "parquet": Needs("pyarrow", ("pyarrow",)),
    "grain": Needs("grain", ("grain", "array_record")),
}


# Peers with loaders for training, and what ours needs.
LOADERS = ("litdata", "mosaic", "webdataset_npy")
LOADER = Needs("torch", (TORCH,))


def load(name: str) -> Format:
    """The peer of that name.

    Raises:
        ImportError: what it needs is not installed.
    """
    peer: Format = import_module(f".{name}", __package__).Peer()
    return peer
