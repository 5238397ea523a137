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
from atproto_client.models import base


class Main(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.storageExternal`. Shards behind URLs."""

    locations: t.List['models.AcFoundationDatasetStorageExternal.Location'] = Field(
        min_length=1, max_length=10000
    )  #: The shards, in order.

    py_type: t.Literal['ac.foundation.dataset.storageExternal'] = Field(
        default='ac.foundation.dataset.storageExternal', alias='$type', frozen=True
    )


class Location(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.storageExternal`. One shard, or several whose URLs follow a pattern."""

    url: str = Field(
        min_length=1, max_length=8192
    )  #: URL. Braces stand for several: {000..009} for a range, {train,test} for a choice.
    shards: te.Annotated[t.Optional[t.List['models.AcFoundationDatasetDefs.Shard']], Field(max_length=10000)] = (
        None  #: Facts on each shard that the URL stands for, in order. All or none.
    )

    py_type: t.Literal['ac.foundation.dataset.storageExternal#location'] = Field(
        default='ac.foundation.dataset.storageExternal#location', alias='$type', frozen=True
    )
