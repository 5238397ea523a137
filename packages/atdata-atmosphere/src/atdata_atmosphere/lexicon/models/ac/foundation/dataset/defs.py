#######################################################################
# THIS IS THE AUTO-GENERATED CODE. DON'T EDIT IT BY HANDS!
# Copyright (C) 2023-2026 Ilya (Marshal) <https://github.com/MarshalX>.
# This file is part of Python atproto SDK. Licenced under MIT.
#######################################################################


import typing as t

import typing_extensions as te
from atproto_client.models import base, string_formats
from pydantic import Field


class Shard(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.defs`. Facts by which a shard can be checked."""

    bytes: te.Annotated[t.Optional[int], Field(ge=0)] = None  #: Its size.
    digest: t.Optional[string_formats.Cid] = None  #: CID of its bytes: version 1, raw, SHA-256, as a blob has it.
    samples: te.Annotated[t.Optional[int], Field(ge=0)] = None  #: How many samples it holds.

    py_type: t.Literal['ac.foundation.dataset.defs#shard'] = Field(
        default='ac.foundation.dataset.defs#shard', alias='$type', frozen=True
    )


class DatasetSize(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.defs`. How large a dataset is."""

    bytes: te.Annotated[t.Optional[int], Field(ge=0)] = None  #: Size of all shards.
    samples: te.Annotated[t.Optional[int], Field(ge=0)] = None  #: Number of samples.
    shards: te.Annotated[t.Optional[int], Field(ge=0)] = None  #: Number of shards.

    py_type: t.Literal['ac.foundation.dataset.defs#datasetSize'] = Field(
        default='ac.foundation.dataset.defs#datasetSize', alias='$type', frozen=True
    )


class CodeReference(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.defs`. A function, by its place in a version-control repository or an installed package."""

    path: str = Field(
        min_length=1, max_length=8192
    )  #: Where the function is: package.module:function, or folder/file.py:function.
    commit: te.Annotated[t.Optional[str], Field(min_length=1, max_length=256)] = None  #: The commit, as its full hash.
    repository: te.Annotated[t.Optional[str], Field(min_length=1, max_length=8192)] = None  #: URL of the repository.

    py_type: t.Literal['ac.foundation.dataset.defs#codeReference'] = Field(
        default='ac.foundation.dataset.defs#codeReference', alias='$type', frozen=True
    )


class Decimal(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.defs`. A number that the data model of the protocol does not have, in metadata."""

    value: str = Field(
        min_length=1, max_length=16384
    )  #: The number in decimal digits: an integer if it has neither point nor exponent, else a float in as many digits as it takes to read it back unchanged. Or NaN, Infinity, -Infinity.

    py_type: t.Literal['ac.foundation.dataset.defs#decimal'] = Field(
        default='ac.foundation.dataset.defs#decimal', alias='$type', frozen=True
    )


class Json(base.ModelBase):
    """Definition model for :obj:`ac.foundation.dataset.defs`. A map in metadata with keys which the data model of the protocol keeps for itself."""

    text: str = Field(
        min_length=2, max_length=1000000
    )  #: The map as JSON text; its values are written as they are in metadata.

    py_type: t.Literal['ac.foundation.dataset.defs#json'] = Field(
        default='ac.foundation.dataset.defs#json', alias='$type', frozen=True
    )
