"""A base for a class that exists already."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

_DESCRIPTORS = types.MemberDescriptorType | types.GetSetDescriptorType


def with_base(cls: type[Any], base: type[Any]) -> type[Any]:
    """The class with ``base`` behind its own bases.

    It is the same object if it has other bases than ``object``: keywords of the class statement, and what hooks of
    the bases made of it, are nowhere to be had a second time. Python cannot replace a lone ``object``, so a class
    without bases is made anew, with all that its body holds.
    """
    own = tuple(other for other in cls.__bases__ if other is not object)
    if own:
        cls.__bases__ = (*own, base)
        return cls
    make: Any = type(cls)
    # slots, __dict__ and __weakref__ belong to the old class; the new one gets its own
    body = {
        name: value
        for name, value in vars(cls).items()
        if not (isinstance(value, _DESCRIPTORS) and value.__objclass__ is cls)
    }
    made: type[Any] = make(cls.__name__, (base,), {**body, "__qualname__": cls.__qualname__})
    return made


def move_class_cell(old: type[Any], new: type[Any]) -> None:
    """Let ``super()`` and ``__class__`` in the methods of ``new`` mean it, and no more the class it was made from.

    They look into one cell, which all functions of a class body share; so the first that is found will do.
    """
    seen: set[int] = set()
    todo = [*vars(new).values()]
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, type | types.ModuleType):
            continue
        seen.add(id(value))
        if inspect.isfunction(value):
            for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
                inside = _contents(cell)
                if name == "__class__" and inside is old:
                    cell.cell_contents = new
                    return
                todo.append(inside)
        todo += _parts(value)


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty yet
        return None


def _parts(value: Any) -> Iterator[Any]:
    """What a method may be wrapped in: decorators keep it in a closure, or as an attribute of what they return."""
    if isinstance(value, property):
        yield from (value.fget, value.fset, value.fdel)
    elif isinstance(value, classmethod | staticmethod):
        yield value.__func__
    elif isinstance(value, functools.partial):
        yield value.func
    if callable(value) or hasattr(type(value), "__get__"):
        yield from getattr(value, "__dict__", {}).values()


def made_by_dataclass(function: Any) -> bool:
    """Whether ``dataclass()`` made the function, and not the author of the class."""
    code = getattr(function, "__code__", None)
    return code is not None and code.co_qualname.startswith("__create_fn__.")


def calling_post_init(init: Callable[..., None]) -> Callable[..., None]:
    """An ``__init__`` that ``dataclass()`` made before the class had a ``__post_init__``, made to call it."""
    if not made_by_dataclass(init) or "__post_init__" in init.__code__.co_names:
        return init

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.__post_init__()

    return __init__
