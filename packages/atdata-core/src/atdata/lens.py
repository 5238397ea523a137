"""Lenses: samples of one type seen, and updated, as samples of another."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Generic, TypeVar, cast

from ._generated import make_type
from .errors import AmbiguousLens, LensNotFound, SampleTypeError
from .fields import Field, local_names
from .sample import DictSample, PackableSample, plan_of, values_equal

__all__ = ["Lens", "LensNetwork", "lens"]

S = TypeVar("S")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")

_SHOWN = 5  # chains in a message


class Lens(Generic[S, V]):
    """A view of samples of type ``S`` as samples of type ``V``, and the way back.

    Lenses chain: ``a | b`` sees through ``a``, then through ``b``. In a ``Dataset`` they are found by the types that
    they connect; see ``LensNetwork``.

    Args:
        get: makes the view of a sample.
        put: ``put(view, source)`` gives the source, updated as the view says. Without it, and without ``putter``,
            ``put`` gives the source as it is.
        source_type: ``S``, where the annotations of ``get`` do not tell.
        view_type: ``V``, likewise.

    Raises:
        SampleTypeError: ``get`` or ``put`` takes another number of arguments, or a type is missing or no sample type.

    Examples:
        >>> import atdata
        >>> @atdata.packable
        ... class Person:
        ...     name: str
        ...     age: int
        >>> @atdata.packable
        ... class Name:
        ...     name: str
        >>> @atdata.lens
        ... def name_of(person: Person) -> Name:
        ...     return Name(name=person.name)
        >>> name_of(Person(name="Ada", age=36))
        Name(name='Ada')
    """

    def __init__(
        self,
        get: Callable[[S], V],
        put: Callable[[V, S], S] | None = None,
        *,
        source_type: type[S] | None = None,
        view_type: type[V] | None = None,
    ) -> None:
        if not callable(get):
            raise SampleTypeError(f"a lens is made of a function from one sample to another, not of {get!r:.80}")
        functools.update_wrapper(cast("Any", self), get)
        self._name = getattr(get, "__name__", type(get).__name__)
        self._get = get
        self._put: Callable[[V, S], S] | None = None
        self._given = (source_type, view_type)
        self._types: tuple[type[Any], type[Any]] | None = None
        self._parts: tuple[Lens[Any, Any], ...] = (self,)
        self._picks: Mapping[str, str] | None = None
        self._origin: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        self._locals: Mapping[str, Any] = {}
        _check_arity(get, self._name, "the source")
        if None in self._given:
            self._locals = local_names(get)
            self._resolve(required=False)
        else:
            self._types = (_sample_type(source_type, self._name), _sample_type(view_type, self._name))
        if put is not None:
            self.putter(put)

    @staticmethod
    def fields(names: Mapping[str, str], source: type[A], view: type[B]) -> Lens[A, B]:
        """A lens that only picks fields, put into the network at once.

        A dataset that is seen through it reads no other field from its shards.

        Args:
            names: the source's field for each field of the view; fields of the view that have a default may be left
                out.
            source: the type with more fields. With ``DictSample``, fields get the types of the view's.
            view: the type with fewer.

        Raises:
            SampleTypeError: a field that one side does not have, that is of another type, or that is missing.

        Examples:
            >>> import atdata
            >>> @atdata.packable
            ... class Scored:
            ...     text: str
            ...     score: float
            >>> @atdata.packable
            ... class Caption:
            ...     caption: str
            >>> atdata.Lens.fields({"caption": "text"}, Scored, Caption)
            Lens[Scored -> Caption](caption=text)
        """
        made: Lens[A, B] = picking(names, source, view)
        LensNetwork().register(made)
        return made

    @property
    def source_type(self) -> type[S]:
        """The type that the lens looks at.

        Raises:
            SampleTypeError: the annotation names what is not defined.
        """
        return cast("type[S]", self._resolve()[0])

    @property
    def view_type(self) -> type[V]:
        """The type that it shows; raises like ``source_type``."""
        return cast("type[V]", self._resolve()[1])

    @property
    def parts(self) -> tuple[Lens[Any, Any], ...]:
        """The lenses that it is a chain of; itself, if it is none; nothing for the identity."""
        return self._parts

    @property
    def picks(self) -> Mapping[str, str] | None:
        """The source's field for each field of the view, if picking is all that the lens does; else None."""
        return self._picks

    @property
    def is_lossless(self) -> bool | None:
        """Whether the view keeps all of the source; None where only the code of the lens could tell."""
        if self._picks is not None:
            typed = issubclass(self.source_type, PackableSample)
            return typed and plan_of(self.source_type).by_name.keys() <= set(self._picks.values())
        known = [part.is_lossless for part in self._parts if part is not self]
        if False in known:
            return False
        return True if len(known) == len(self._parts) and all(known) else None

    def __call__(self, s: S) -> V:
        """The same as ``get``."""
        return self._get(s)

    def get(self, s: S) -> V:
        """The view of a sample."""
        return self._get(s)

    def put(self, v: V, s: S) -> S:
        """The sample ``s``, updated as the view ``v`` says; ``s`` itself where the lens has no putter."""
        return s if self._put is None else self._put(v, s)

    def putter(self, put: Callable[[V, S], S]) -> Callable[[V, S], S]:
        """Decorate the function that updates a source from a view: ``put(view, source) -> source``.

        Raises:
            SampleTypeError: it takes other arguments.
        """
        name = getattr(put, "__name__", type(put).__name__)
        _check_arity(put, name, "the view", "the source")
        hints = _hints(put, local_names(put))
        if hints is not None and self._types is not None:
            source, view = self._types
            for hint, type_ in zip(hints, (view, source, source), strict=True):
                if isinstance(hint, type) and hint not in (type_, Any):
                    raise SampleTypeError(
                        f"{name}: a putter of {self!r} is (view: {view.__name__}, source: {source.__name__}) -> "
                        f"{source.__name__}; found {hint.__name__}"
                    )
        self._put = put
        return put

    def compose(self, other: Lens[V, B]) -> Lens[S, B]:
        """A lens that sees through this one, then through the other; the same as ``self | other``.

        Raises:
            SampleTypeError: the other looks at another type than this one shows.
        """
        if not issubclass(self.view_type, other.source_type):
            raise SampleTypeError(
                f"{self!r} shows {self.view_type.__name__}, and {other!r} looks at {other.source_type.__name__}: "
                "they do not chain"
            )
        return chained((*self.parts, *other.parts), self.source_type, other.view_type)

    def __or__(self, other: Lens[V, B]) -> Lens[S, B]:
        return self.compose(other) if isinstance(other, Lens) else NotImplemented

    def __reduce__(self) -> str | tuple[Any, ...]:
        if self._origin is not None:
            return self._origin
        found: Any = sys.modules.get(self._get.__module__)
        for name in self._get.__qualname__.split("."):
            found = getattr(found, name, None)
        if found is self:  # a decorated function; its name now means the lens
            return str(self._get.__qualname__)
        return _restored, (self._get, self._put, self.source_type, self.view_type)

    def __repr__(self) -> str:
        try:
            types = (self.source_type, *(part.view_type for part in self._parts))
            chain = " -> ".join(type_.__name__ for type_ in types)
        except SampleTypeError:
            chain = "?"
        names = " | ".join(part._name for part in self._parts) or self._name
        return f"Lens[{chain}]({names})"

    # ------------------------------------------------------------------------------------ inside

    def _resolve(self, required: bool = True) -> tuple[type[Any], type[Any]]:
        """Both types; an annotation may name what is only defined later."""
        if self._types is None:
            hints = _hints(self._get, self._locals, required=required)
            if hints is None:
                return (type(None), type(None))
            source, view = (given or hint for given, hint in zip(self._given, hints, strict=True))
            self._types = (_sample_type(source, self._name), _sample_type(view, self._name))
            self._locals = {}
        return self._types


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


# --------------------------------------------------------------------------------------------- kinds of lenses


def _restored(get: Any, put: Any, source: type[Any], view: type[Any]) -> Lens[Any, Any]:
    return Lens(get, put, source_type=source, view_type=view)


def _made(
    name: str, get: Any, put: Any, types: tuple[type[Any], type[Any]], origin: Callable[..., Any], *arguments: Any
) -> Lens[Any, Any]:
    """A lens that is not made of a user's functions; pickle keeps the call that made it."""
    made: Lens[Any, Any] = Lens(get, put, source_type=types[0], view_type=types[1])
    made._name, made._origin = name, (origin, arguments)
    return made


def picking(names: Mapping[str, str], source: type[Any], view: type[Any]) -> Lens[Any, Any]:
    """What ``Lens.fields`` makes, without registering it."""
    names = dict(names)
    plan = plan_of(_sample_type(view, "Lens.fields"))
    for field in plan.fields:
        if field.name not in names and field.required:
            raise SampleTypeError(f"Lens.fields: nothing is picked for {view.__name__}.{field.name}", field=field.name)
    for name in names:
        if name not in plan.by_name:
            raise SampleTypeError(
                f"Lens.fields: {view.__name__} has no field {name!r}; it has {', '.join(plan.by_name)}", field=name
            )
    text = ", ".join(name if name == of else f"{name}={of}" for name, of in names.items())
    if _sample_type(source, "Lens.fields") is DictSample:
        get, put = _untyped_steps(names, view)
    else:
        _check_picks(names, source, view)
        get, put = _typed_steps(names, view)
    made = _made(text, get, put, (source, view), picking, names, source, view)
    made._picks = names
    return made


def _check_picks(names: Mapping[str, str], source: type[Any], view: type[Any]) -> None:
    fields, wanted = plan_of(source).by_name, plan_of(view).by_name
    for name, picked in names.items():
        field = fields.get(picked)
        if field is None:
            raise SampleTypeError(
                f"Lens.fields: {source.__name__} has no stored field {picked!r}; it has {', '.join(fields)}",
                field=picked,
            )
        if not _fits(field, wanted[name]):
            raise SampleTypeError(
                f"Lens.fields: {source.__name__}.{picked} is {field.text}, {view.__name__}.{name} "
                f"{wanted[name].text}; a conversion needs a function with @atdata.lens",
                field=name,
            )


def _fits(field: Field, wanted: Field) -> bool:
    """Whether every value of a field is one of the other, as it is."""
    a, b = field.codec, wanted.codec
    alike = a.text == b.text or b.kind == "any" or (a.kind == b.kind == "array" and b.dtype is None)
    return alike and (wanted.optional or not field.optional)


def _typed_steps(names: Mapping[str, str], view: type[Any]) -> tuple[Any, Any]:
    def get(source: Any) -> Any:
        return view(**{name: getattr(source, of) for name, of in names.items()})

    def put(seen: Any, source: Any) -> Any:
        return dataclasses.replace(source, **{of: getattr(seen, name) for name, of in names.items()})

    return get, put


def _untyped_steps(names: Mapping[str, str], view: type[Any]) -> tuple[Any, Any]:
    def get(source: DictSample) -> Any:
        return view.from_data({name: source[of] for name, of in names.items() if of in source})

    def put(seen: Any, source: DictSample) -> DictSample:
        # what is not changed keeps its stored form, of which there may be several
        before, after = (DictSample.from_bytes(sample.packed) for sample in (get(source), seen))
        changed = {of: after[name] for name, of in names.items() if not values_equal(before[name], after[name])}
        return DictSample.from_data({**source.to_dict(), **changed})

    return get, put


@functools.cache
def picked_type(source: Any, names: tuple[str, ...]) -> type[PackableSample]:
    """A sample type with some of the fields of another."""
    fields = plan_of(_sample_type(source, "pick")).by_name
    for name in names:
        if name not in fields:
            raise SampleTypeError(f"{source.__name__} has no field {name!r}; it has {', '.join(fields)}", field=name)
    given = {field.name: field for field in dataclasses.fields(source)}
    defaults = {
        name: dataclasses.field(default=given[name].default, default_factory=given[name].default_factory)
        for name in names
        if not fields[name].required
    }
    return make_type(
        "_".join((source.__name__, *names)),
        {name: fields[name].hint for name in names},
        (picked_type, (source, names)),
        defaults=defaults,
        doc=f"{', '.join(names)} of {source.__name__}.",
        module=source.__module__,
    )


def chained(parts: tuple[Lens[Any, Any], ...], source: type[Any], view: type[Any]) -> Lens[Any, Any]:
    """The chain of lenses from ``source`` to ``view``; without any, the identity."""

    def get(sample: Any) -> Any:
        for part in parts:
            sample = part.get(sample)
        return sample

    def put(seen: Any, sample: Any) -> Any:
        sources = [sample]
        for part in parts[:-1]:
            sources.append(part.get(sources[-1]))
        for part, below in zip(reversed(parts), reversed(sources), strict=False):
            seen = part.put(seen, below)
        return seen

    if len(parts) == 1:
        return parts[0]
    made = _made("identity" if not parts else "chain", get, put, (source, view), chained, parts, source, view)
    made._parts = parts
    picks = [part.picks for part in parts]
    if parts and None not in picks:
        first, *rest = cast("list[Mapping[str, str]]", picks)
        made._picks = functools.reduce(_through, rest, first)
    return made


def _through(first: Mapping[str, str], second: Mapping[str, str]) -> Mapping[str, str]:
    return {name: first[of] for name, of in second.items() if of in first}


def _between_alike(source: type[Any], view: type[Any]) -> Lens[Any, Any] | None:
    """The lens between types that have the same fields, as a generated type and the written one it describes."""
    if not (issubclass(source, PackableSample) and issubclass(view, PackableSample)):
        return None
    mine, other = plan_of(source).by_name, plan_of(view).by_name
    if mine.keys() != other.keys() or not all(_fits(mine[name], other[name]) for name in mine):
        return None
    return picking({name: name for name in other}, source, view)


# --------------------------------------------------------------------------------------------- the network


class LensNetwork:
    """The lenses that are known, by the types that they connect.

    There is one network: ``LensNetwork()`` gives it each time. ``LensNetwork.scoped()`` puts another in its place
    for a while.
    """

    _instance: ClassVar[LensNetwork]
    _registry: dict[tuple[type[Any], type[Any]], Lens[Any, Any]]
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
        types whose fields have the same names and types.

        Raises:
            LensNotFound: there is none; a ``ValueError``.
            AmbiguousLens: several chains are equally short; a ``ValueError`` that shows them.
            SampleTypeError: a lens was registered whose annotations still name what is not defined.
        """
        if source is view:
            return chained((), source, view)
        chains = self._chains(source, view)
        if chains and len(chains[0]) == 1:
            return chains[0][0]
        made: Lens[Any, Any] | None = None
        if source is DictSample and issubclass(view, PackableSample):
            made = picking({name: name for name in plan_of(view).by_name}, source, view)
        elif len(chains) > 1:
            shown = "; ".join(repr(chained(chain, source, view)) for chain in chains[:_SHOWN])
            raise AmbiguousLens(
                f"{source.__name__} -> {view.__name__}: {len(chains)} chains of lenses are equally short: {shown}. "
                "Register the one that is meant: LensNetwork().register(a | b)"
            )
        elif chains:
            made = chained(chains[0], source, view)
        else:
            made = _between_alike(source, view)
        if made is None:
            raise LensNotFound(self._lacking(source, view))
        return made

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

    def _chains(self, source: type[Any], view: type[Any]) -> list[tuple[Lens[Any, Any], ...]]:
        """All shortest chains of registered lenses."""
        self._settle()
        ways: dict[type[Any], list[tuple[Lens[Any, Any], ...]]] = {source: [()]}
        seen = {source}
        while ways and view not in ways:
            further: dict[type[Any], list[tuple[Lens[Any, Any], ...]]] = {}
            for (start, end), lens in self._registry.items():
                if start in ways and end not in seen:
                    # of thousands of chains, a few show that the choice is not clear
                    further.setdefault(end, []).extend((*way, lens) for way in ways[start][: _SHOWN + 1])
            seen |= further.keys()
            ways = further
        return ways.get(view, [])

    def _lacking(self, source: type[Any], view: type[Any]) -> str:
        known = ", ".join(end.__name__ for start, end in self._registry if start is source)
        return (
            f"no lens from {source.__name__} to {view.__name__}; from {source.__name__} there are lenses to "
            f"{known or 'nothing'}. Write one: @atdata.lens above def name(source: {source.__name__}) -> "
            f"{view.__name__}"
        )


LensNetwork._instance = LensNetwork._empty()
_current: ContextVar[LensNetwork] = ContextVar("atdata.lens", default=LensNetwork._instance)


# --------------------------------------------------------------------------------------------- annotations


def _check_arity(function: Callable[..., Any], name: str, *what: str) -> None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of some functions written in C nothing is known
        return
    if len(parameters) != len(what) or any(parameter.kind > parameter.VAR_POSITIONAL for parameter in parameters):
        found = ", ".join(map(str, parameters)) or "nothing"
        raise SampleTypeError(f"{name} must take {' and '.join(what)}, nothing else; it takes {found}")


def _hints(function: Any, names: Mapping[str, Any], required: bool = False) -> tuple[Any, ...] | None:
    """Resolved annotations of arguments and result; None if they name what is not defined (yet)."""
    name = getattr(function, "__name__", type(function).__name__)
    code = function if inspect.isroutine(function) or isinstance(function, type) else type(function).__call__
    try:
        hints = typing.get_type_hints(code, None, {**names})
    except (NameError, AttributeError) as error:
        if required:
            raise SampleTypeError(f"{name}: an annotation names what is not defined: {error}") from error
        return None
    parameters = inspect.signature(function).parameters
    return (*(hints.get(parameter) for parameter in parameters), hints.get("return"))


def _sample_type(given: Any, name: str) -> type[Any]:
    if given is None:
        raise SampleTypeError(
            f"{name}: argument and result need annotations, such as def {name}(source: Source) -> View"
        )
    if not (isinstance(given, type) and hasattr(given, "from_data") and hasattr(given, "packed")):
        raise SampleTypeError(f"{name}: {given} is no sample type; put @atdata.packable above its class statement")
    return given
