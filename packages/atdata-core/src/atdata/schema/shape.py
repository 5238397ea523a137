"""``Shape``: what an annotation says about the sizes of an array."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SampleTypeError


@dataclass(frozen=True, init=False)
class Shape:
    """Sizes of an array, for ``Annotated``; None where a size differs from sample to sample.

    Dimensions can be given names: ``Shape(frame=None, height=224, width=224)``. A shape describes: it is part of the
    schema, and values are not checked against it.

    Attributes:
        sizes: one for each dimension.
        names: names of the dimensions, or None.

    Examples:
        >>> from typing import Annotated
        >>> import numpy as np
        >>> from numpy.typing import NDArray
        >>> import atdata
        >>> @atdata.packable
        ... class Clip:
        ...     frames: Annotated[NDArray[np.uint8], atdata.schema.Shape(None, 224, 224, 3)]
    """

    sizes: tuple[int | None, ...]
    names: tuple[str, ...] | None

    def __init__(self, /, *sizes: int | None, **named: int | None) -> None:
        if sizes and named:
            raise SampleTypeError("Shape takes sizes, or sizes by name, but not both")
        given = sizes or (*named.values(),)
        for size in given:
            if size is not None and (type(size) is not int or size < 0):
                raise SampleTypeError(f"Shape takes whole numbers, and None for any size; found {size!r:.80}")
        object.__setattr__(self, "sizes", given)
        object.__setattr__(self, "names", (*named,) if named else None)

    def __repr__(self) -> str:
        if self.names is None:
            return f"Shape({', '.join(map(repr, self.sizes))})"
        return f"Shape({', '.join(f'{name}={size}' for name, size in zip(self.names, self.sizes, strict=True))})"
