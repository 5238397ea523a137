"""``atdata export``: datasets in the formats of other programs."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from .arguments import AsJSON, MaxCount
from .opening import Split, Type, Where, open_whole
from .output import examples, note, print_json, progress, say

app = typer.Typer(rich_markup_mode=None)
export = typer.Typer(
    help="Write a dataset as Parquet, JSON lines or Croissant.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(export, name="export")

File: TypeAlias = Annotated[str, typer.Argument(metavar="FILE", help="The file; one of that name is replaced.")]


@export.command(
    "parquet",
    epilog=examples(
        "atdata export parquet data/ data.parquet", "atdata export parquet @local/iris iris.parquet --split test"
    ),
)
def parquet(
    where: Where,
    file: File,
    split: Split = None,
    type_: Type = None,
    maxcount: MaxCount = None,
    compression: Annotated[str, typer.Option(help="snappy, zstd, gzip, lz4 or none.")] = "zstd",
    as_json: AsJSON = False,
) -> None:
    """Write a dataset to Parquet. With --maxcount, FILE-000000.parquet and on have at most so many samples."""
    if file == "-":
        raise typer.BadParameter("Parquet is written to a file, not to a pipe; JSON lines can be: atdata export jsonl")
    dataset = open_whole(where, split, type_)
    with progress() as bar:
        paths = dataset.to_parquet(file, maxcount=maxcount, compression=compression, progress=bar)
    _tell(paths, as_json)


@export.command(
    "jsonl", epilog=examples("atdata export jsonl data/ data.jsonl", "atdata export jsonl data/ - --split test")
)
def jsonl(
    where: Where,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file, or - for the standard output.")] = "-",
    split: Split = None,
    type_: Type = None,
    as_json: AsJSON = False,
) -> None:
    """Write each sample as a line of JSON: arrays are lists, bytes base64; NaN, which JSON has not, is null."""
    from atdata.export.jsonl import json_lines, to_jsonl

    dataset = open_whole(where, split, type_)
    if file == "-":
        for line in json_lines(dataset):
            typer.echo(line)
        return
    with progress() as bar:
        path = to_jsonl(dataset, file, progress=bar)
    _tell([path], as_json)


@export.command(
    "croissant",
    epilog=examples(
        "atdata export croissant data/ data/croissant.json --license MIT --creator Lee --url https://example.org"
    ),
)
def croissant(
    where: Where,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file, or - for the standard output.")] = "-",
    name: Annotated[str | None, typer.Option(help="Name of the dataset; by default that of its folder.")] = None,
    description: Annotated[str | None, typer.Option(help="What it holds; by default what its schema says.")] = None,
    license_: Annotated[str, typer.Option("--license", help="URL or SPDX identifier of its license.")] = "",
    creator: Annotated[str, typer.Option(help="Who made it.")] = "",
    url: Annotated[str, typer.Option(help="URL of its page.")] = "",
    base_url: Annotated[str, typer.Option(help="URL of the folder where others find the shards.")] = "",
    published: Annotated[datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="By default today.")] = None,
    version: Annotated[str, typer.Option(help="Version of the dataset.")] = "1.0.0",
    cite_as: Annotated[str, typer.Option(help="How to cite it, in BibTeX.")] = "",
    split: Split = None,
    type_: Type = None,
) -> None:
    """Describe a dataset in Croissant 1.0, the JSON-LD by which dataset search engines find it."""
    from atdata.atomic import locked, replace_file
    from atdata.export.croissant import About, to_croissant

    missing = {"--license": license_, "--creator": creator, "--url": url}
    if lacking := [option for option, value in missing.items() if not value]:
        raise typer.BadParameter(f"Croissant requires {', '.join(lacking)} of a dataset")
    dataset = open_whole(where, split, type_)
    about = About(
        name or where.rstrip("/").rpartition("/")[2],
        description or (dataset.sample_type.__doc__ or "").strip() or f"A dataset of {dataset.sample_type.__name__}.",
        license_,
        url,
        creator,
        (published or datetime.datetime.now()).date(),
        version,
        cite_as,
    )
    target = None if file == "-" else Path(file).absolute()
    made = to_croissant(dataset, about, beside=target.parent if target else Path.cwd(), base_url=base_url)
    if target is None:
        print_json(made)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(f".{target.name}.lock")):
        replace_file(target, json.dumps(made, indent=2, ensure_ascii=False).encode() + b"\n")
    _tell([Path(file)], as_json=False)
    if not base_url:
        note("Its shards are named relative to it: publish it beside them, or say --base-url.")


def _tell(paths: list[Path], as_json: bool) -> None:
    if as_json:
        print_json({"files": [str(path) for path in paths]})
    else:
        for path in paths:
            say(path)
