"""Lenses that only pick fields, which datasets need not apply to samples: they read no other field."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from .._generated import make_type
from ..errors import SampleTypeError
from ..fields import Field
from ..sample import DictSample, PackableSample, plan_of, values_equal
from .base import Lens, made_lens, sample_type


def picking(names: Mapping[str, str], source: type[Any], view: type[Any]) -> Lens[Any, Any]:
    """What ``Lens.fields`` makes, without registering it."""
    names = dict(names)
    plan = plan_of(sample_type(view, "Lens.fields"))
    for field in plan.fields:
        if field.name not in names and field.required:
            raise SampleTypeError(f"Lens.fields: nothing is picked for {view.__name__}.{field.name}", field=field.name)
    for name in names:
        if name not in plan.by_name:
            raise SampleTypeError(
                f"Lens.fields: {view.__name__} has no field {name!r}; it has {', '.join(plan.by_name)}", field=name
            )
    text = ", ".join(name if name == of else f"{name}={of}" for name, of in names.items())
    if sample_type(source, "Lens.fields") is DictSample:
        get, put = _untyped_steps(names, view)
    else:
        _check_picks(names, source, view)
        get, put = _typed_steps(names, view)
    made = made_lens(text, get, put, (source, view), picking, names, source, view)
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
    fields = plan_of(sample_type(source, "pick")).by_name
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


def between_alike(source: type[Any], view: type[Any]) -> Lens[Any, Any] | None:
    """The lens between types that have the same fields, as a generated type and the written one it describes."""
    if not (issubclass(source, PackableSample) and issubclass(view, PackableSample)):
        return None
    mine, other = plan_of(source).by_name, plan_of(view).by_name
    if mine.keys() != other.keys():
        return None
    if all(_fits(mine[name], other[name]) for name in mine):
        return picking({name: name for name in other}, source, view)
    from ..schema.upgrade import lens_between_equals  # which builds on this package

    return lens_between_equals(source, view)
