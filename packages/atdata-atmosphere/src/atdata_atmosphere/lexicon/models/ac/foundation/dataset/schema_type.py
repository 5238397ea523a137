#######################################################################
# THIS IS THE AUTO-GENERATED CODE. DON'T EDIT IT BY HANDS!
# Copyright (C) 2023-2026 Ilya (Marshal) <https://github.com/MarshalX>.
# This file is part of Python atproto SDK. Licenced under MIT.
#######################################################################


import typing as t

import typing_extensions as te
from pydantic import Field

if t.TYPE_CHECKING:
    from atdata_atmosphere.lexicon import models
from atproto_client.models import base, unknown_union


class Primitive(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.schemaType`. A single value."""

    primitive: t.Union[t.Literal['str', 'int', 'float', 'bool', 'bytes'], str] = Field(
        max_length=64
    )  #: Which kind of value.

    py_type: t.Literal['ac.foundation.dataset.schemaType#primitive'] = Field(
        default='ac.foundation.dataset.schemaType#primitive', alias='$type', frozen=True
    )


class Ndarray(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.schemaType`. An array of numbers."""

    dtype: t.Union[
        t.Literal[
            'bool',
            'int8',
            'int16',
            'int32',
            'int64',
            'uint8',
            'uint16',
            'uint32',
            'uint64',
            'float16',
            'float32',
            'float64',
            'complex64',
            'complex128',
            'datetime64',
            'timedelta64',
            'str',
            'bytes',
        ],
        str,
    ] = Field(
        max_length=64
    )  #: Type of the numbers, by NumPy's name. float32 without 'declared' also stands for arrays of any type.
    declared: t.Optional[bool] = None  #: Whether the dtype was declared, where it is float32.
    dimensions: te.Annotated[
        t.Optional[t.List[te.Annotated[str, Field(min_length=1, max_length=1024)]]], Field(max_length=64)
    ] = None  #: Name of each dimension of the shape.
    shape: te.Annotated[t.Optional[t.List[te.Annotated[int, Field(ge=-1)]]], Field(max_length=64)] = (
        None  #: Size of each dimension; -1 stands for any.
    )

    py_type: t.Literal['ac.foundation.dataset.schemaType#ndarray'] = Field(
        default='ac.foundation.dataset.schemaType#ndarray', alias='$type', frozen=True
    )


class Array(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.schemaType`. A list of values of one type."""

    items: unknown_union.OpenUnion[
        t.Union[
            'models.AcFoundationDatasetSchemaType.Primitive',
            'models.AcFoundationDatasetSchemaType.Ndarray',
            'models.AcFoundationDatasetSchemaType.Array',
            'models.AcFoundationDatasetSchemaType.Ref',
        ]
    ]  #: What the values are.

    py_type: t.Literal['ac.foundation.dataset.schemaType#array'] = Field(
        default='ac.foundation.dataset.schemaType#array', alias='$type', frozen=True
    )


class Ref(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.schemaType`. A sample of another type."""

    ref: str = Field(max_length=2048)  #: The sampleSchema record of that type, by its AT URI.

    py_type: t.Literal['ac.foundation.dataset.schemaType#ref'] = Field(
        default='ac.foundation.dataset.schemaType#ref', alias='$type', frozen=True
    )
