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


class Record(base.RecordModelBase):
    """Record model for :obj:`ac.foundation.dataset.record`."""

    name: str = Field(min_length=1, max_length=5120)  #: What people call it.
    schema_ref: string_formats.AtUri  #: The sampleSchema record of its samples.
    storage: unknown_union.OpenUnion[
        t.Union['models.AcFoundationDatasetStorageExternal.Main', 'models.AcFoundationDatasetStorageBlobs.Main']
    ]  #: Where the shards are.
    created_at: t.Optional[string_formats.DateTime] = None  #: When the publisher says that the record was made.
    description: te.Annotated[t.Optional[str], Field(max_length=400000)] = (
        None  #: What it is, for people; Markdown is welcome.
    )
    license: te.Annotated[t.Optional[str], Field(max_length=512)] = (
        None  #: SPDX identifier or expression, such as MIT or CC-BY-4.0.
    )
    metadata: t.Optional['UnknownType'] = (
        None  #: Anything else that the publisher wants to say. Numbers that the protocol does not have are defs#decimal, maps whose keys it keeps for itself defs#json.
    )
    schema_cid: t.Optional[string_formats.Cid] = None  #: CID of that record when the dataset was published.
    size: t.Optional['models.AcFoundationDatasetDefs.DatasetSize'] = None  #: How large the dataset is.
    tags: te.Annotated[
        t.Optional[t.List[te.Annotated[str, Field(min_length=1, max_length=1280)]]], Field(max_length=100)
    ] = None  #: Words to find it by.

    py_type: t.Literal['ac.foundation.dataset.record'] = Field(
        default='ac.foundation.dataset.record', alias='$type', frozen=True
    )


class GetRecordResponse(base.SugarResponseModelBase):
    """Get record response for :obj:`models.AcFoundationDatasetRecord.Record`."""

    uri: str  #: The URI of the record.
    value: 'models.AcFoundationDatasetRecord.Record'  #: The record.
    cid: t.Optional[str] = None  #: The CID of the record.


class ListRecordsResponse(base.SugarResponseModelBase):
    """List records response for :obj:`models.AcFoundationDatasetRecord.Record`."""

    records: t.Dict[str, 'models.AcFoundationDatasetRecord.Record']  #: Map of URIs to records.
    cursor: t.Optional[str] = None  #: Next page cursor.


class CreateRecordResponse(base.SugarResponseModelBase):
    """Create record response for :obj:`models.AcFoundationDatasetRecord.Record`."""

    uri: str  #: The URI of the record.
    cid: str  #: The CID of the record.
