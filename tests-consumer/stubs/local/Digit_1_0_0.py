# Made by atdata from a schema; changes are lost.
from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    import numpy as np
    from typing import Annotated
    from numpy.typing import NDArray
    from atdata import PackableSample
    from atdata.schema import Shape
    from dataclasses import dataclass
    from dataclasses import field

    @dataclass
    class Digit(PackableSample):
        """A digit that somebody wrote."""

        image: Annotated[NDArray[np.uint8], Shape(height=28, width=None)]
        """Ink is 255."""
        label: int
        weights: list[float] = field(default_factory=list[float])
        note: str | None = None

else:
    from atdata.schema import type_of

    Digit = type_of(
        {
            'name': 'Digit',
            'version': '1.0.0',
            'description': 'A digit that somebody wrote.',
            'fields': [
                {'name': 'image', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#ndarray', 'dtype': 'uint8', 'shape': [28, -1], 'dimensions': ['height', 'width']}, 'optional': False, 'description': 'Ink is 255.'},
                {'name': 'label', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#primitive', 'primitive': 'int'}, 'optional': False},
                {'name': 'weights', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#array', 'items': {'$type': 'ac.foundation.dataset.schemaType#primitive', 'primitive': 'float'}}, 'optional': False, 'default': '[]'},
                {'name': 'note', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#primitive', 'primitive': 'str'}, 'optional': True},
            ],
        }
    )
