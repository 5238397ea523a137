"""``Lens``: a view of samples of one type as samples of another, and the way back."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from ..errors import SampleTypeError
from ..fields import local_names
from ..sample import PackableSample, is_sample_type, plan_of

S = TypeVar("S")
V = TypeVar("V")
A = TypeVar("A")
B = TypeVar("B")


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
            self._types = (sample_type(source_type, self._name), sample_type(view_type, self._name))
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
        from .network import LensNetwork
        from .picks import picking

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
            self._types = (sample_type(source, self._name), sample_type(view, self._name))
            self._locals = {}
        return self._types


def _restored(get: Any, put: Any, source: type[Any], view: type[Any]) -> Lens[Any, Any]:
    return Lens(get, put, source_type=source, view_type=view)


def made_lens(
    name: str, get: Any, put: Any, types: tuple[type[Any], type[Any]], origin: Callable[..., Any], *arguments: Any
) -> Lens[Any, Any]:
    """A lens that is not made of a user's functions; pickle keeps the call that made it."""
    made: Lens[Any, Any] = Lens(get, put, source_type=types[0], view_type=types[1])
    made._name, made._origin = name, (origin, arguments)
    return made


def chained(parts: tuple[Lens[Any, Any], ...], source: type[Any], view: type[Any]) -> Lens[Any, Any]:
    """The chain of lenses from ``source`` to ``view``; without any, the identity."""
    if len(parts) == 1:
        return parts[0]

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

    made = made_lens("chain" if parts else "identity", get, put, (source, view), chained, parts, source, view)
    made._parts = parts
    picks = [part.picks for part in parts]
    made._picks = functools.reduce(_through, picks) if picks else None
    return made


def _through(first: Mapping[str, str] | None, second: Mapping[str, str] | None) -> Mapping[str, str] | None:
    # a default of the type between is no field of the source
    if first is None or second is None or not first.keys() >= set(second.values()):
        return None
    return {name: first[of] for name, of in second.items()}


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


def sample_type(given: Any, name: str) -> type[Any]:
    """The given class, if it is a sample type.

    Raises:
        SampleTypeError: it is none; says so of what is called ``name``.
    """
    if given is None:
        raise SampleTypeError(
            f"{name}: argument and result need annotations, such as def {name}(source: Source) -> View"
        )
    if not is_sample_type(given):
        raise SampleTypeError(f"{name}: {given} is no sample type; put @atdata.packable above its class statement")
    return given
