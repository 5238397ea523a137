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
    from atproto_client.models.blob_ref import BlobRef
from atproto_client.models import base


class Main(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.storageBlobs`. Shards as blobs of the repository that holds the record."""

    blobs: t.List['models.AcFoundationDatasetStorageBlobs.Shard'] = Field(
        min_length=1, max_length=10000
    )  #: The shards, in order.

    py_type: t.Literal['ac.foundation.dataset.storageBlobs'] = Field(
        default='ac.foundation.dataset.storageBlobs', alias='$type', frozen=True
    )


class Shard(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.storageBlobs`. One shard. Its size and digest are those of the blob."""

    blob: 'BlobRef'  #: The shard, a tar.
    samples: te.Annotated[t.Optional[int], Field(ge=0)] = None  #: How many samples it holds.

    py_type: t.Literal['ac.foundation.dataset.storageBlobs#shard'] = Field(
        default='ac.foundation.dataset.storageBlobs#shard', alias='$type', frozen=True
    )
