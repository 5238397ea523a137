"""The atdata backend for one machine or a team: the place of the dataset index and of the stores on disk and in S3.

Neither is in this release: the package has nothing but its version.
"""

from typing import TYPE_CHECKING

__all__: list[str] = []

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        if name == "__version__":
            from importlib.metadata import version

            return version("atdata-local")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
