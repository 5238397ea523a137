"""The index keeps what every index promises, on each catalog."""

from atdata.testing import AbstractIndexContract


class TestIndex(AbstractIndexContract):
    """The fixture ``index`` gives each kind in turn."""
