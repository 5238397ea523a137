"""Distributions made by hand, in the folders of fixtures/plugins, as all that is installed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.metadata import DistributionFinder, MetadataPathFinder
from pathlib import Path

import pytest

from atdata import plugins

FIXTURES = Path(__file__).parents[1] / "fixtures" / "plugins"


@contextmanager
def installing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Gives what makes some folders the only places where distributions are found, and the first for modules."""

    def install(*folders: str) -> None:
        path = [str(FIXTURES / folder) for folder in folders]
        for entry in reversed(path):
            monkeypatch.syspath_prepend(entry)
        monkeypatch.setattr(MetadataPathFinder, "find_distributions", lambda context: find(context, path))
        plugins.refresh()

    def find(context: DistributionFinder.Context, path: list[str]) -> Iterable[metadata.Distribution]:
        return find_distributions(DistributionFinder.Context(name=context.name, path=path))

    find_distributions = MetadataPathFinder.find_distributions
    yield install
    plugins.refresh()
