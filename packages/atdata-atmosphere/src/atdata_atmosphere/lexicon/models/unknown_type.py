import typing as t

import typing_extensions as te
from atproto_client.models import unknown_union

if t.TYPE_CHECKING:
    from atdata_atmosphere.lexicon import models
    from atproto_client.models import dot_dict
    from atproto_client.models import unknown_type as base_unknown_type

UnknownRecordType: te.TypeAlias = t.Union[
    'base_unknown_type.UnknownRecordType',
    'models.AcFoundationDatasetLens.Record',
    'models.AcFoundationDatasetRecord.Record',
    'models.AcFoundationDatasetSampleSchema.Record',
]
if t.TYPE_CHECKING:
    UnknownType: te.TypeAlias = te.Annotated[
        t.Union[UnknownRecordType, 'dot_dict.DotDictType'], unknown_union.UnknownRecordFallback
    ]
    UnknownInputType: te.TypeAlias = t.Union[UnknownType, t.Dict[str, t.Any]]
else:
    UnknownType = te.Annotated[t.Any, unknown_union.UnknownRecordFallback]
    UnknownInputType = UnknownType
