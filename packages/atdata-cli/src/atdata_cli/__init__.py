"""The ``atdata`` command."""

from typing import TYPE_CHECKING

__all__ = ["main"]

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        if name == "__version__":
            from importlib.metadata import version

            return version("atdata-cli")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line of this process. Always ends in `SystemExit`; `atdata_cli.process` lists the exit codes."""
    try:
        from atdata_cli.process import prepare

        prepare()
        from atdata_cli.app import app

        app(prog_name="atdata")
    except KeyboardInterrupt:  # while modules are imported; later the root command sees to it
        raise SystemExit(130) from None
