"""The atdata backend for the AT Protocol network: the place of the client, the record types and the dataset index.

None of them is in this release: the package has nothing but its version.
"""

from typing import TYPE_CHECKING

__all__: list[str] = []

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        if name == "__version__":
            from importlib.metadata import version

            return version("atdata-atmosphere")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
