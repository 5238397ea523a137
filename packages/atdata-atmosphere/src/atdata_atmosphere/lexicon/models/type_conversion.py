from atproto_client.models.record_registry import RECORD_TYPE_TO_MODEL_CLASS, register_record_types

__all__ = ['RECORD_TYPES', 'RECORD_TYPE_TO_MODEL_CLASS']
RECORD_TYPES = {
    'ac.foundation.dataset.lens': 'AcFoundationDatasetLens',
    'ac.foundation.dataset.record': 'AcFoundationDatasetRecord',
    'ac.foundation.dataset.sampleSchema': 'AcFoundationDatasetSampleSchema',
}
register_record_types('atdata_atmosphere.lexicon.models', RECORD_TYPES)
