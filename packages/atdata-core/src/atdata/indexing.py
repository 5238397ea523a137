"""What indexes of every kind do alike: the schema of a dataset, and what a data store does for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .dataset import Dataset
from .errors import AtdataError, SampleTypeError
from .manifest import facts_of, read_manifest
from .sample import DictSample
from .sources.url import path_of
from .splits import DatasetDict


def check_dataset(ds: object) -> None:
    """Refuse what an index cannot take for a dataset, such as the path of one.

    Raises:
        TypeError: it is none; says how to get one.
    """
    if isinstance(ds, DatasetDict):
        raise TypeError(f"an index takes one dataset; found {', '.join(ds)}: name one of them, or load split='all'")
    if not isinstance(ds, Dataset):
        raise TypeError(f"an index takes a Dataset; found {ds!r:.100}. load_dataset(path, split='all') gives one")


def record_of_type(ds: Dataset[Any]) -> dict[str, Any]:
    """The schema record of a dataset's samples: of its sample type, or what the manifests have.

    Raises:
        SampleTypeError: it has neither.
    """
    from .schema import check_record, schema_of  # takes a while to import, and loading does without

    if not issubclass(ds.sample_type, DictSample):
        return schema_of(ds.sample_type)
    record = _manifest_schema(ds)
    if record is None:
        raise SampleTypeError(
            "the dataset has no sample type and no manifest that tells it; use Dataset[T](...), or pass schema_ref=..."
        )
    check_record(record)
    return record


def _manifest_schema(ds: Dataset[Any]) -> dict[str, Any] | None:
    """The schema record that the manifests have for all shards of a dataset, or None."""
    found: dict[str, dict[str, Any]] = {}
    for shard in ds.list_shards():
        path = path_of(ds.source, shard)
        manifest = read_manifest(path.parent) if path is not None else None
        facts = facts_of(path) if path is not None else None
        if manifest is None or facts is None or facts.schema is None or facts.schema not in manifest.schemas:
            return None
        found[facts.schema] = manifest.schemas[facts.schema]
    return next(iter(found.values())) if len(found) == 1 else None


def own_source(store: Any, urls: Sequence[str]) -> Any:
    """The source of URLs that a store has itself, with its credentials; None if it has none, or others have them."""
    if not hasattr(store, "source"):
        return None
    try:
        return store.source(urls)
    except ValueError:
        return None


def forget(store: Any, urls: Sequence[str], error: BaseException) -> None:
    """Remove shards again that could not be recorded, so that none are left that nobody would find."""
    if not hasattr(store, "delete_shards"):
        return
    try:
        store.delete_shards(urls)
    except (AtdataError, OSError) as left:
        error.add_note(f"its shards are stored nevertheless, at {urls[0]} and after: {left}")
