"""``atdata get`` and ``atdata publish``: a dataset to this machine, and from it into an index."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .arguments import AsJSON, anywhere, described
from .opening import Split, Type, Where, open_whole
from .output import examples, note, print_json, progress, say

if TYPE_CHECKING:
    from atdata import Dataset

app = typer.Typer(rich_markup_mode=None)

_NAME = re.compile(r"[^./\\\x00-\x1f\x7f{}][^/\\\x00-\x1f\x7f{}]*\.tar")


@app.command(
    "get",
    epilog=examples(
        "atdata get @alice.example.org/photos photos/",
        "atdata get https://example.org/data/manifest.json data/",
        "atdata get s3://bucket/data/ data/ --split test",
    ),
)
def get(
    where: Where,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder for the shards.")],
    split: Split = None,
    as_json: AsJSON = False,
) -> None:
    """Copy a dataset to a folder of this machine, with its manifest.

    Shards are copied byte by byte, and compared with their digests where these are known. They appear when all are
    complete. After an interruption the same command goes on where it was.
    """
    from atdata import Dataset
    from atdata.atomic import PARTIAL
    from atdata.copying import copy_shards, originals

    there = open_whole(where, split)
    if hasattr(there.source, "uncached"):
        there = Dataset.of(there.sample_type, there.source.uncached(), there._known)
    shards = originals(there)
    names = _names([shard.shard_id for shard in shards])
    try:
        with progress("bytes") as bar:
            paths = copy_shards(shards, folder, names.__getitem__, resume=True, progress=bar)
    except BaseException:
        if any((folder / PARTIAL).glob("*.tar")):
            note(f"What is there so far is kept, hidden in {folder}; the same command goes on with it.")
        raise
    here: Dataset[Any] = Dataset.of(there.sample_type, paths)
    if as_json:
        print_json(described(here))
    else:
        say(repr(here))
        note(f"Look at it: atdata head {folder}")


def _names(shards: list[str]) -> list[str]:
    """What shards are called here: as they are there, if that is a good name and they have different ones."""
    from atdata.find import place_of

    places = [place_of(shard) for shard in shards]
    for names in ([place.rpartition("/")[2] for place in places], [place.replace("/", "-") for place in places]):
        if len({name.lower() for name in names}) == len(names) and all(map(_NAME.fullmatch, names)):
            return names
    return [f"shard-{number:06d}.tar" for number in range(len(shards))]


@app.command(
    "publish",
    epilog=examples(
        "atdata publish data/photos --to @local/photos",
        "atdata publish data/photos --to @alice.example.org/photos --license CC0-1.0 --tag images",
    ),
)
def publish(
    where: Where,
    to: Annotated[
        str, typer.Option(metavar="@OWNER/NAME", help="@local/name for your own index, @handle/name for all.")
    ],
    type_: Type = None,
    description: Annotated[str | None, typer.Option(help="What the dataset holds.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")] = None,
    license_: Annotated[str | None, typer.Option("--license", help="Its license, as CC0-1.0.")] = None,
    metadata: Annotated[Path | None, typer.Option(help="A JSON file with whatever else shall be recorded.")] = None,
    as_json: AsJSON = False,
) -> None:
    """Record a dataset in an index under a name, and its schema with it.

    @local is the index of the configuration; where that has a store, the shards are copied there first. @handle is the
    account that is logged in; files are uploaded into its repository, and shards behind URLs stay where they are.
    """
    from atdata import plugins
    from atdata.uri import LOCAL, DatasetRef, parse

    ref = parse(to) if to.startswith("@") else None
    if not isinstance(ref, DatasetRef):
        raise typer.BadParameter(f"{to!r} names no dataset; use @local/name or @handle/name", param_hint="--to")
    index: Any = plugins.get("atdata.indexes", "local" if ref.authority == LOCAL else "atmosphere")()
    said = {"description": description, "tags": tags, "license": license_, "metadata": _metadata(metadata)}
    given: dict[str, Any] = {key: value for key, value in said.items() if value}
    dataset = _typed(open_whole(anywhere(where), None, type_), where)
    if hasattr(index, "publish_as"):  # an index of many people's datasets
        with progress("bytes") as bar:
            entry = index.publish_as(ref.authority, dataset, name=ref.name, progress=bar, **given)
    else:
        entry = index.insert_dataset(dataset, name=ref.name, **given)
    if as_json:
        keys = ("name", "schema_ref", "data_urls", "metadata")
        print_json({"reference": str(ref), **{key: getattr(entry, key) for key in keys}})
    else:
        say(f"{ref}: {entry.schema_ref}, {_shards(entry.data_urls)}")
        note(f"Get it{'' if ref.authority == LOCAL else ' anywhere'}: atdata get {ref} DIR")


def _typed(dataset: Dataset[Any], where: str) -> Dataset[Any]:
    from atdata import DictSample

    if dataset.sample_type is DictSample:
        raise typer.BadParameter(f"nothing tells the sample type of {where}; say it: --type module:Class")
    return dataset


def _metadata(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise typer.BadParameter(f"{path} holds no object of JSON")
    return content


def _shards(urls: list[str]) -> str:
    from atdata import URLSource
    from atdata.splits import shard_count

    return shard_count(len(URLSource(urls).list_shards()))
