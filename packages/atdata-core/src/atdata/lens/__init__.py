"""Lenses: samples of one type seen, and updated, as samples of another."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import TypeVar

from .base import Lens
from .network import LensNetwork

__all__ = ["Lens", "LensNetwork", "lens"]

S = TypeVar("S")
V = TypeVar("V")


def lens(f: Callable[[S], V]) -> Lens[S, V]:
    """Make a function with annotated argument and result a lens, and put it into the network.

    Raises:
        SampleTypeError: it does not take one argument, or a type is missing or no sample type.
    """
    made = Lens(f)
    LensNetwork().register(made)
    return made


class _LensModule(types.ModuleType):
    """Both ``@atdata.lens`` and ``from atdata.lens import Lens`` are to work, so the module can be called."""

    def __call__(self, f: Callable[[S], V]) -> Lens[S, V]:
        return lens(f)


sys.modules[__name__].__class__ = _LensModule
