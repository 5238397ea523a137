"""Catalogues are copied from one index to another: from a file to one of each kind."""

from __future__ import annotations

from pathlib import Path

import atdata
from atdata import load_dataset
from atdata.local import LocalIndex


@atdata.packable
class TextSample:
    """A text of some category."""

    text: str
    category: str


def test_all_datasets_move_from_one_index_to_another(index: LocalIndex, tmp_path: Path) -> None:
    source, target = LocalIndex(path=tmp_path / "source.sqlite3"), index
    for number in range(3):
        texts = [TextSample(text=f"{number} {n}", category="c") for n in range(4)]
        source.insert_dataset(atdata.write_samples(texts, tmp_path / f"text-{number}.tar"), name=f"texts {number}")
    for entry in source.list_datasets():
        sample_type = source.decode_schema(entry.schema_ref)
        ref = target.publish_schema(sample_type)
        ds = atdata.Dataset[sample_type](entry.data_urls[0])  # type: ignore[valid-type]
        target.insert_dataset(ds, name=entry.name, schema_ref=ref)
    assert [entry.name for entry in target.list_datasets()] == ["texts 0", "texts 1", "texts 2"]
    moved = load_dataset("@local/texts 2", index=target, split="train")
    assert [sample.text for sample in moved] == ["2 0", "2 1", "2 2", "2 3"]
