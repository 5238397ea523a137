"""The laws of lenses, checked on examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from ..errors import AtdataError
from ..lens import Lens
from ..sample import values_equal

S = TypeVar("S")
V = TypeVar("V")


class LensLawBroken(AtdataError, AssertionError):
    """A lens breaks a law; the message has the first counterexample.

    Attributes:
        law: which one, such as ``PutGet: get(put(v, s)) == v``.
        found: what the lens gave.
        expected: what the law says.
    """

    def __init__(self, message: str, *, law: str = "", found: Any = None, expected: Any = None) -> None:
        super().__init__(message)
        self.law = law
        self.found = found
        self.expected = expected


def check_lens_laws(lens: Lens[S, V], sources: Iterable[S], views: Iterable[V]) -> None:
    """Check that a lens is well-behaved, on all pairs of the given sources and views.

    - GetPut: putting back what was got changes nothing: ``put(get(s), s) == s``.
    - PutGet: what was put is got: ``get(put(v, s)) == v``.
    - PutPut: the last put counts: ``put(v2, put(v1, s)) == put(v2, s)``.

    Samples are equal when all their fields are: arrays by dtype, shape and elements, and NaN equals NaN.

    Args:
        lens: the lens.
        sources: samples of its source type.
        views: samples of its view type.

    Raises:
        LensLawBroken: with the first counterexample; an ``AssertionError``.
        ValueError: there is no source or no view, so nothing would be checked.
    """
    sources, views = list(sources), list(views)
    if not sources or not views:
        raise ValueError("check_lens_laws needs at least one source and one view")

    def check(law: str, found: Any, expected: Any, **where: Any) -> None:
        if not values_equal(found, expected):
            given = "\n".join(f"  {name} = {value!r}" for name, value in where.items())
            raise LensLawBroken(
                f"{law} does not hold for {lens!r}:\n{given}\n  found    {found!r}\n  expected {expected!r}",
                law=law,
                found=found,
                expected=expected,
            )

    for s in sources:
        check("GetPut: put(get(s), s) == s", lens.put(lens.get(s), s), s, s=s)
        for v in views:
            once = lens.put(v, s)
            check("PutGet: get(put(v, s)) == v", lens.get(once), v, v=v, s=s)
            for v2 in views:
                check(
                    "PutPut: put(v2, put(v1, s)) == put(v2, s)", lens.put(v2, once), lens.put(v2, s), v1=v, v2=v2, s=s
                )
