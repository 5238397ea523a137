import typing as t

from atdata_atmosphere.lexicon.models import type_conversion as type_conversion
from atproto_client.models.models_loader import make_lazy_accessors

if t.TYPE_CHECKING:
    from atdata_atmosphere.lexicon.models.ac.foundation.dataset import defs as AcFoundationDatasetDefs
    from atdata_atmosphere.lexicon.models.ac.foundation.dataset import lens as AcFoundationDatasetLens
    from atdata_atmosphere.lexicon.models.ac.foundation.dataset import record as AcFoundationDatasetRecord
    from atdata_atmosphere.lexicon.models.ac.foundation.dataset import sample_schema as AcFoundationDatasetSampleSchema
    from atdata_atmosphere.lexicon.models.ac.foundation.dataset import schema_type as AcFoundationDatasetSchemaType
    from atdata_atmosphere.lexicon.models.ac.foundation.dataset import storage_blobs as AcFoundationDatasetStorageBlobs
    from atdata_atmosphere.lexicon.models.ac.foundation.dataset import (
        storage_external as AcFoundationDatasetStorageExternal,
    )
    from atproto_client.models.utils import (
        create_strong_ref,
        get_model_as_dict,
        get_model_as_json,
        get_or_create,
        is_record_type,
    )
__getattr__, __dir__ = make_lazy_accessors(__name__, fallback='atproto_client.models')


class _Ids:
    AcFoundationDatasetDefs: str = 'ac.foundation.dataset.defs'
    AcFoundationDatasetLens: str = 'ac.foundation.dataset.lens'
    AcFoundationDatasetRecord: str = 'ac.foundation.dataset.record'
    AcFoundationDatasetSampleSchema: str = 'ac.foundation.dataset.sampleSchema'
    AcFoundationDatasetSchemaType: str = 'ac.foundation.dataset.schemaType'
    AcFoundationDatasetStorageBlobs: str = 'ac.foundation.dataset.storageBlobs'
    AcFoundationDatasetStorageExternal: str = 'ac.foundation.dataset.storageExternal'


ids = _Ids()
