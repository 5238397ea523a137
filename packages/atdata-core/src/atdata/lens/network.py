"""``LensNetwork``: which lens leads from one sample type to another."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, TypeAlias, TypeVar

from ..errors import AmbiguousLens, LensNotFound
from ..sample import DictSample, PackableSample, plan_of
from .base import Lens, chained, sample_type
from .picks import between_alike, picking

S = TypeVar("S")
V = TypeVar("V")

_Links: TypeAlias = "dict[tuple[type[Any], type[Any]], Lens[Any, Any]]"

_SHOWN = 5  # chains in a message


class LensNetwork:
    """The lenses that are known, by the types that they connect.

    There is one network: ``LensNetwork()`` gives it each time. ``LensNetwork.scoped()`` puts another in its place
    for a while.
    """

    _instance: ClassVar[LensNetwork]
    _registry: _Links
    _pending: list[Lens[Any, Any]]

    def __new__(cls) -> LensNetwork:
        return _current.get()

    @classmethod
    def _empty(cls) -> LensNetwork:
        network = object.__new__(cls)
        network._registry = {}
        network._pending = []
        return network

    @classmethod
    @contextmanager
    def scoped(cls) -> Generator[LensNetwork]:
        """A context in which ``LensNetwork()`` is an empty one, for tests: what they register ends with it."""
        network = cls._empty()
        token = _current.set(network)
        try:
            yield network
        finally:
            _current.reset(token)

    def register(self, _lens: Lens[Any, Any]) -> None:
        """Make a lens the way from its source to its view type; one that was so before is replaced."""
        if _lens._types is None:
            self._pending.append(_lens)  # names types that are only defined later
        else:
            self._registry[_lens._types] = _lens

    def transform(self, source: type[S], view: type[V]) -> Lens[S, V]:
        """The lens from one type to another: the registered one, else the shortest chain of registered ones.

        Nothing needs to be registered from a type to itself, from ``DictSample`` to any sample type, and between
        types whose fields have the same names and types, as a type made of a schema and the one that it describes.

        Raises:
            LensNotFound: there is none; a ``ValueError``.
            AmbiguousLens: several chains are equally short; a ``ValueError`` that shows them.
            SampleTypeError: a lens was registered whose annotations still name what is not defined.
        """
        for given in (source, view):
            sample_type(given, "transform")
        if source is view:
            return chained((), source, view)
        self._settle()
        if (source, view) in self._registry:
            return self._registry[source, view]
        if source is DictSample and issubclass(view, PackableSample):
            return picking({name: name for name in plan_of(view).by_name}, source, view)
        chains = _shortest(source, view, self._registry)
        chains = chains or _shortest(source, view, {**self._registry, **self._between_alike(source, view)})
        if not chains:
            raise LensNotFound(self._lacking(source, view))
        if len(chains) > 1:
            shown = "; ".join(repr(chained(chain, source, view)) for chain in chains[:_SHOWN])
            raise AmbiguousLens(
                f"{source.__name__} -> {view.__name__}: {len(chains)} chains of lenses are equally short: {shown}. "
                "Register the one that is meant: LensNetwork().register(a | b)"
            )
        return chained(chains[0], source, view)

    def path(self, source: type[Any], view: type[Any]) -> list[Lens[Any, Any]]:
        """The lenses that ``transform`` chains, in their order; raises like it."""
        return list(self.transform(source, view).parts)

    def __iter__(self) -> Iterator[Lens[Any, Any]]:
        """All registered lenses."""
        self._settle()
        return iter([*self._registry.values()])

    def __repr__(self) -> str:
        lines = [f"LensNetwork of {len(self._registry) + len(self._pending)} lenses"]
        return "\n  ".join(lines + [repr(lens) for lens in [*self._registry.values(), *self._pending]])

    def _settle(self) -> None:
        while self._pending:
            lens = self._pending[0]
            self._registry[lens.source_type, lens.view_type] = lens
            self._pending.remove(lens)

    def _between_alike(self, source: type[Any], view: type[Any]) -> _Links:
        """Lenses that need not be registered: from the source to types like it, and to the view from types like it."""
        pairs = {(source, view)}
        for start, end in self._registry:
            pairs |= {(source, start), (end, view)}
        found = {(start, end): between_alike(start, end) for start, end in pairs if start is not end}
        return {pair: lens for pair, lens in found.items() if lens is not None}

    def _lacking(self, source: type[Any], view: type[Any]) -> str:
        known = ", ".join(end.__name__ for start, end in self._registry if start is source)
        return (
            f"no lens from {source.__name__} to {view.__name__}; from {source.__name__} there are lenses to "
            f"{known or 'nothing'}. Write one: @atdata.lens above def name(source: {source.__name__}) -> "
            f"{view.__name__}"
        )


def _shortest(source: type[Any], view: type[Any], links: _Links) -> list[tuple[Lens[Any, Any], ...]]:
    """All shortest chains of lenses."""
    ways: dict[type[Any], list[tuple[Lens[Any, Any], ...]]] = {source: [()]}
    seen = {source}
    while ways and view not in ways:
        further: dict[type[Any], list[tuple[Lens[Any, Any], ...]]] = {}
        for (start, end), lens in links.items():
            if start in ways and end not in seen:
                # of thousands of chains, a few show that the choice is not clear
                further.setdefault(end, []).extend((*way, lens) for way in ways[start][: _SHOWN + 1])
        seen |= further.keys()
        ways = further
    return ways.get(view, [])


LensNetwork._instance = LensNetwork._empty()
_current: ContextVar[LensNetwork] = ContextVar("atdata.lens", default=LensNetwork._instance)
