# Made by atdata from a schema; changes are lost.
from __future__ import annotations

import typing as typing_

if typing_.TYPE_CHECKING:
    import numpy as np_
    from typing import Any as Any_
    from numpy.typing import NDArray as NDArray_
    from atdata import PackableSample as PackableSample_
    from builtins import bool as bool_
    from builtins import bytes as bytes_
    from dataclasses import dataclass as dataclass_
    from dataclasses import field as field_
    from builtins import float as float_
    from builtins import int as int_
    from builtins import list as list_
    from builtins import str as str_

    @dataclass_(kw_only=True)
    class Odd(PackableSample_):
        """Its fields are named like what annotations need."""

        list: list_[list_[float_]] = field_(default_factory=lambda: [[], [1.0, float_('nan')]])
        int: int_ | None = None
        str: bytes_ = b'a\x00'
        float: float_ = float_('inf')
        np: NDArray_[np_.float32] | None = None
        NDArray: NDArray_[Any_]
        field: str_
        'one""" \\ line'
        dataclass: bool_ = False
        tags: list_[str_] | None = field_(default_factory=lambda: ['a'])

else:
    from atdata.schema import type_of as type_of_

    Odd = type_of_(
        {
            'name': 'Odd',
            'version': '2.0.0',
            'description': 'Its fields are named like what annotations need.',
            'fields': [
                {'name': 'list', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#array', 'items': {'$type': 'ac.foundation.dataset.schemaType#array', 'items': {'$type': 'ac.foundation.dataset.schemaType#primitive', 'primitive': 'float'}}}, 'optional': False, 'default': '[[], [1.0, "NaN"]]'},
                {'name': 'int', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#primitive', 'primitive': 'int'}, 'optional': True},
                {'name': 'str', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#primitive', 'primitive': 'bytes'}, 'optional': False, 'default': '"YQA="'},
                {'name': 'float', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#primitive', 'primitive': 'float'}, 'optional': False, 'default': '"Infinity"'},
                {'name': 'np', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#ndarray', 'dtype': 'float32', 'declared': True}, 'optional': True},
                {'name': 'NDArray', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#ndarray', 'dtype': 'float32'}, 'optional': False},
                {'name': 'field', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#primitive', 'primitive': 'str'}, 'optional': False, 'description': 'one""" \\ line'},
                {'name': 'dataclass', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#primitive', 'primitive': 'bool'}, 'optional': False, 'default': 'false'},
                {'name': 'tags', 'fieldType': {'$type': 'ac.foundation.dataset.schemaType#array', 'items': {'$type': 'ac.foundation.dataset.schemaType#primitive', 'primitive': 'str'}}, 'optional': True, 'default': '["a"]'},
            ],
        }
    )
