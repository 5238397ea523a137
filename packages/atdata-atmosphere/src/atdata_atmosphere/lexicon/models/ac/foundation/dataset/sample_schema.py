#######################################################################
# THIS IS THE AUTO-GENERATED CODE. DON'T EDIT IT BY HANDS!
# Copyright (C) 2023-2026 Ilya (Marshal) <https://github.com/MarshalX>.
# This file is part of Python atproto SDK. Licenced under MIT.
#######################################################################


import typing as t

import typing_extensions as te
from atproto_client.models import string_formats
from pydantic import Field

if t.TYPE_CHECKING:
    from atdata_atmosphere.lexicon import models
    from atproto_client.models.unknown_type import UnknownType
from atproto_client.models import base, unknown_union


class SampleField(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.sampleSchema`. One field of a sample."""

    field_type: unknown_union.OpenUnion[
        t.Union[
            'models.AcFoundationDatasetSchemaType.Primitive',
            'models.AcFoundationDatasetSchemaType.Ndarray',
            'models.AcFoundationDatasetSchemaType.Array',
            'models.AcFoundationDatasetSchemaType.Ref',
        ]
    ]  #: What its values are.
    name: str = Field(min_length=1, max_length=1024)  #: Name of the field: an identifier.
    default: te.Annotated[t.Optional[str], Field(max_length=400000)] = (
        None  #: The value that samples have by default, as JSON text: bytes are base64; NaN, Infinity and -Infinity are strings.
    )
    description: te.Annotated[t.Optional[str], Field(max_length=400000)] = None  #: What the field holds, for people.
    optional: t.Optional[bool] = None  #: Whether a sample may lack it. False if absent.

    py_type: t.Literal['ac.foundation.dataset.sampleSchema#sampleField'] = Field(
        default='ac.foundation.dataset.sampleSchema#sampleField', alias='$type', frozen=True
    )


class Record(base.RecordModelBase):
    """Record model for :obj:`ac.foundation.dataset.sampleSchema`."""

    fields: t.List['models.AcFoundationDatasetSampleSchema.SampleField'] = Field(
        max_length=1000
    )  #: The fields, in the order of the type's definition.
    name: str = Field(min_length=1, max_length=1024)  #: Name of the type: an identifier, as classes have it.
    version: str = Field(min_length=5, max_length=128)  #: Semantic version, such as 1.0.0.
    created_at: t.Optional[string_formats.DateTime] = None  #: When the publisher says that the record was made.
    description: te.Annotated[t.Optional[str], Field(max_length=400000)] = (
        None  #: What it is, for people; Markdown is welcome.
    )
    metadata: t.Optional['UnknownType'] = (
        None  #: Anything else that the publisher wants to say. Numbers that the protocol does not have are defs#decimal, maps whose keys it keeps for itself defs#json.
    )

    py_type: t.Literal['ac.foundation.dataset.sampleSchema'] = Field(
        default='ac.foundation.dataset.sampleSchema', alias='$type', frozen=True
    )


class GetRecordResponse(base.SugarResponseModelBase):
    """Get record response for :obj:`models.AcFoundationDatasetSampleSchema.Record`."""

    uri: str  #: The URI of the record.
    value: 'models.AcFoundationDatasetSampleSchema.Record'  #: The record.
    cid: t.Optional[str] = None  #: The CID of the record.


class ListRecordsResponse(base.SugarResponseModelBase):
    """List records response for :obj:`models.AcFoundationDatasetSampleSchema.Record`."""

    records: t.Dict[str, 'models.AcFoundationDatasetSampleSchema.Record']  #: Map of URIs to records.
    cursor: t.Optional[str] = None  #: Next page cursor.


class CreateRecordResponse(base.SugarResponseModelBase):
    """Create record response for :obj:`models.AcFoundationDatasetSampleSchema.Record`."""

    uri: str  #: The URI of the record.
    cid: str  #: The CID of the record.
