"""From the samples of one schema to those of another, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..codecs import WrongValue, converting, found
from ..errors import FieldMismatch, SampleTypeError, SchemaError
from ..fields import Field
from ..lens.base import Lens, made_lens
from ..lens.picks import picking
from ..sample import PackableSample, plan_of, values_equal
from .changes import obstacles
from .record import schema_of
from .types import type_of

Schema: TypeAlias = "Mapping[str, Any] | type[Any]"


def upgrade_lens(old: Schema, new: Schema) -> Lens[Any, Any]:
    """The lens from samples of one schema to those of another: it drops fields, and fills new ones with their defaults.

    Where fields are only dropped or filled, and none is converted, a dataset that is seen through it reads no others.
    Its ``put`` changes what the view has changed and keeps everything else.

    Args:
        old: a schema record, or a sample type.
        new: likewise.

    Raises:
        SchemaError: not a schema record, or a field cannot be made of the older ones; says which. A ``ValueError``.
        SampleTypeError: not a sample type, or one that has no schema.

    Examples:
        >>> import atdata
        >>> @atdata.packable
        ... class Word:
        ...     text: str
        >>> @atdata.packable
        ... class WordInLanguage:
        ...     text: str
        ...     language: str = "en"
        >>> lens = atdata.schema.upgrade_lens(Word, WordInLanguage)
        >>> lens(Word(text="a"))
        WordInLanguage(text='a', language='en')
    """
    source, view = map(_type, (old, new))
    fields = plan_of(view).by_name
    # a class may know defaults that no record can tell
    wanted = {name: told | ({} if fields[name].required else {"default": ""}) for name, told in _fields(view).items()}
    reasons = [*obstacles(wanted, _fields(source))]
    if reasons:
        raise SchemaError(
            f"{source.__name__} does not become {view.__name__} by itself: {'; '.join(reasons)}. "
            "Write the lens with @atdata.lens"
        )
    names = {name: name for name in fields if name in plan_of(source).by_name}
    try:
        return picking(names, source, view)
    except SampleTypeError:  # some values need a conversion
        get, put = _steps([*names], source, view)
        return made_lens("upgrade", get, put, (source, view), upgrade_lens, source, view)


def lens_between_equals(source: type[Any], view: type[Any]) -> Lens[Any, Any] | None:
    """The lens between types whose fields are the same in a schema, or None if they are not."""
    try:
        ours, theirs = ({name: field["fieldType"] for name, field in _fields(each).items()} for each in (source, view))
        return upgrade_lens(source, view) if ours == theirs else None
    except (SampleTypeError, SchemaError):
        return None


def _type(schema: Schema) -> type[PackableSample]:
    return schema if isinstance(schema, type) else type_of(schema)


def _fields(sample_type: type[Any]) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in schema_of(sample_type)["fields"]}


def _steps(names: list[str], source: type[Any], view: type[Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    forth = {name: _conversion(view, plan_of(view).by_name[name]) for name in names}
    back = {name: _conversion(source, plan_of(source).by_name[name]) for name in names}
    # fields that a source of this type lacks and that have no default of their own may be None
    rest = {field.name: None for field in plan_of(view).fields if field.name not in names and field.required}

    def get(sample: Any) -> Any:
        return view(**rest, **{name: step(getattr(sample, name)) for name, step in forth.items()})

    def put(seen: Any, sample: Any) -> Any:
        # what is not changed stays as it is, also where a conversion has lost some of it
        changed = {
            name: back[name](getattr(seen, name))
            for name, step in forth.items()
            if not values_equal(step(getattr(sample, name)), getattr(seen, name))
        }
        return dataclasses.replace(sample, **changed)

    return get, put


def _conversion(owner: type[Any], field: Field) -> Callable[[Any], Any]:
    codec = converting(field.codec, "same-kind")

    def convert(value: Any) -> Any:
        if value is None and field.optional:
            return None
        try:
            return codec.unpack(codec.pack(value))
        except WrongValue as wrong:
            raise FieldMismatch(
                f"{owner.__name__}.{field.name}: expected {field.text}, found {found(value)} {wrong}".rstrip(),
                field=field.name,
            ) from None

    return convert
