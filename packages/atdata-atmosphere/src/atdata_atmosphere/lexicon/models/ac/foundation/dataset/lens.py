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
from atproto_client.models import base


class Record(base.RecordModelBase):
    """Record model for :obj:`ac.foundation.dataset.lens`."""

    name: str = Field(min_length=1, max_length=5120)  #: What people call it.
    source_schema: string_formats.AtUri  #: The sampleSchema record of what the lens looks at.
    target_schema: string_formats.AtUri  #: The sampleSchema record of what it shows.
    created_at: t.Optional[string_formats.DateTime] = None  #: When the publisher says that the record was made.
    description: te.Annotated[t.Optional[str], Field(max_length=400000)] = (
        None  #: What it is, for people; Markdown is welcome.
    )
    getter_code: t.Optional['models.AcFoundationDatasetDefs.CodeReference'] = (
        None  #: The function from a source sample to its view.
    )
    metadata: t.Optional['UnknownType'] = (
        None  #: Anything else that the publisher wants to say. Numbers that the protocol does not have are defs#decimal, maps whose keys it keeps for itself defs#json.
    )
    putter_code: t.Optional['models.AcFoundationDatasetDefs.CodeReference'] = (
        None  #: The function from a view and a source sample to the updated source. Absent where the lens goes one way.
    )
    source_schema_cid: t.Optional[string_formats.Cid] = None  #: CID of that record when the lens was published.
    target_schema_cid: t.Optional[string_formats.Cid] = None  #: CID of that record when the lens was published.

    py_type: t.Literal['ac.foundation.dataset.lens'] = Field(
        default='ac.foundation.dataset.lens', alias='$type', frozen=True
    )


class GetRecordResponse(base.SugarResponseModelBase):
    """Get record response for :obj:`models.AcFoundationDatasetLens.Record`."""

    uri: str  #: The URI of the record.
    value: 'models.AcFoundationDatasetLens.Record'  #: The record.
    cid: t.Optional[str] = None  #: The CID of the record.


class ListRecordsResponse(base.SugarResponseModelBase):
    """List records response for :obj:`models.AcFoundationDatasetLens.Record`."""

    records: t.Dict[str, 'models.AcFoundationDatasetLens.Record']  #: Map of URIs to records.
    cursor: t.Optional[str] = None  #: Next page cursor.


class CreateRecordResponse(base.SugarResponseModelBase):
    """Create record response for :obj:`models.AcFoundationDatasetLens.Record`."""

    uri: str  #: The URI of the record.
    cid: str  #: The CID of the record.
