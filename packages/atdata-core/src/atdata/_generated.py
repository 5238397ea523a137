"""Sample types that are made while the program runs, from a schema or from another type."""

from __future__ import annotations

import copyreg
import dataclasses
import keyword
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .errors import SampleTypeError
from .sample import PackableSample, packable, plan_of

# A function and its arguments: what to call for the same type again
Origin: TypeAlias = tuple[Callable[..., type[Any]], tuple[Any, ...]]

_ORIGIN = "__atdata_origin__"


class GeneratedType(type):
    """The class of such types. No import finds them, so pickle keeps the call that made them."""

    def __repr__(cls) -> str:
        shown = ", ".join(f"{field.name}: {field.text}" for field in plan_of(cls).fields)
        return f"<sample type {cls.__name__}({shown if len(shown) <= 500 else f'{shown[:497]}...'})>"


def _reduce(cls: GeneratedType) -> str | Origin:
    # a class that a person derived from one can be imported
    origin: Origin | None = vars(cls).get(_ORIGIN)
    return origin or cls.__qualname__


copyreg.pickle(GeneratedType, _reduce)  # type: ignore[arg-type]


def make_type(
    name: str,
    hints: Mapping[str, Any],
    origin: Origin,
    *,
    defaults: Mapping[str, Any] | None = None,
    doc: str | None = None,
    module: str = __name__,
) -> type[PackableSample]:
    """A new sample type.

    Args:
        name: its name.
        hints: annotations of its fields, in order.
        origin: the call that makes it; it must give the same class each time.
        defaults: what fields are when they are not given: values, or ``dataclasses.field(...)``.
        doc: its docstring.
        module: its ``__module__``.

    Raises:
        SampleTypeError: a name that Python does not take, or a field that cannot be stored.
    """
    for text in (name, *hints):
        if not text.isidentifier() or keyword.iskeyword(text) or text.startswith("__"):
            raise SampleTypeError(f"{name}: {text!r:.80} cannot be the name of a class or field in Python")
    defaults = defaults or {}
    # fields behind one that has a default need one, too, except as keywords
    required = [field not in defaults or _is_required(defaults[field]) for field in hints]
    options = {"kw_only": required != sorted(required, reverse=True)}
    body = {"__module__": module, "__qualname__": name, "__annotations__": dict(hints), **defaults, _ORIGIN: origin}
    made: Any = GeneratedType(name, (PackableSample,), {**body, **({} if doc is None else {"__doc__": doc})})
    return packable(**options)(made)


def _is_required(default: Any) -> bool:
    return (
        isinstance(default, dataclasses.Field)
        and default.default is dataclasses.MISSING
        and default.default_factory is dataclasses.MISSING
    )
