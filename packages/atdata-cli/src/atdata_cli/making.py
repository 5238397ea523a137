"""``atdata write``, ``reshard``, ``cat`` and ``split``: datasets from files, and datasets cut anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from .arguments import MAXSIZE, AsJSON, MaxCount, MaxSize, Overwrite, described
from .opening import Split, Where, import_type, open_whole
from .output import examples, note, print_json, progress, say

if TYPE_CHECKING:
    from atdata import Dataset

app = typer.Typer(rich_markup_mode=None)

Folder: TypeAlias = Annotated[str, typer.Argument(metavar="DIR", help="The folder for the shards.")]
Name: TypeAlias = Annotated[str, typer.Option(help="Name of the shards: NAME-000000.tar and on.")]

FORMATS = "images, csv, tsv, jsonl, parquet, npy or npz"


@app.command(
    "write",
    epilog=examples(
        "atdata write photos/ data/photos",
        "atdata write iris.csv data/iris --maxcount 1000",
        "atdata write features.npz data/features --name train",
        "atdata write table.parquet data/table --type my_types:Row",
        "zcat log.jsonl.gz | atdata write - data/log",
    ),
)
def write(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder of images, a file, or - for CSV or JSON lines.")
    ],
    folder: Folder,
    type_: Annotated[
        str | None,
        typer.Option("--type", metavar="MODULE:CLASS", help="A class of yours, else the type is inferred."),
    ] = None,
    schema: Annotated[
        str | None, typer.Option(help="Name of the inferred sample type; by default that of DIR.")
    ] = None,
    name: Name = "shard",
    maxcount: MaxCount = None,
    maxsize: MaxSize = MAXSIZE,  # type: ignore[assignment]  # Typer parses defaults, too
    overwrite: Overwrite = False,
    format_: Annotated[str | None, typer.Option("--format", help=f"{FORMATS}; by default what the name tells.")] = None,
    delimiter: Annotated[str, typer.Option(help="What divides the cells of CSV, if it is no comma.")] = "",
    encoded: Annotated[bool, typer.Option("--encoded", help="Keep the files of images as bytes.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Write a dataset from a folder of images, a table, JSON lines or NumPy arrays.

    The sample type is inferred from the data, of which files are read to their end, and shown; or it is a class of
    yours, whose fields are filled from the columns of the same names. Of images, the folder is the label.
    """
    from atdata.ingest import open_rows, type_for, write_rows

    mark = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
    rows = open_rows(sys.stdin.buffer if source == "-" else source, format_, delimiter=mark, encoded=encoded)
    if type_ is None:
        sample_type = type_for(rows, schema or _type_name(folder))
        note(repr(sample_type).strip("<>"))
    else:
        sample_type = import_type(type_)
    with progress(total=rows.count) as bar:
        dataset = write_rows(
            rows,
            Path(folder) / f"{name}-%06d.tar",
            sample_type,
            whole=type_ is None,
            maxcount=maxcount,
            maxsize=maxsize,
            overwrite=overwrite,
            progress=bar,
        )
    _tell(dataset, folder, as_json)


def _type_name(folder: str) -> str:
    """What the type of a folder's samples is called: folders of splits are of one type."""
    from atdata.ingest import type_name
    from atdata.splits import split_of

    path = Path(folder).absolute()
    return type_name(path.parent.name if split_of(f"{path.name}/") else path.name)


def _tell(dataset: Dataset[Any], folder: str, as_json: bool) -> None:
    if as_json:
        print_json(described(dataset))
    else:
        say(repr(dataset))
        note(f"Look at it: atdata inspect {folder}")


@app.command(
    "reshard",
    epilog=examples(
        "atdata reshard data/ smaller/ --maxsize 100MB",
        "atdata reshard @local/photos mixed/ --maxcount 1000 --seed 0",
    ),
)
def reshard(
    where: Where,
    folder: Folder,
    maxcount: MaxCount = None,
    maxsize: MaxSize = MAXSIZE,  # type: ignore[assignment]
    seed: Annotated[
        int | None, typer.Option(help="Mix the samples by chance; the same seed gives the same order.")
    ] = None,
    name: Name = "shard",
    split: Split = None,
    overwrite: Overwrite = False,
    as_json: AsJSON = False,
) -> None:
    """Write a dataset into larger or smaller shards. Samples are copied as they are, under their keys."""
    from atdata.reshape import reshard

    with progress() as bar:
        made = reshard(
            open_whole(where, split),
            Path(folder) / f"{name}-%06d.tar",
            maxcount=maxcount,
            maxsize=maxsize,
            seed=seed,
            overwrite=overwrite,
            progress=bar,
        )
    _tell(made, folder, as_json)


@app.command(
    "cat", epilog=examples("atdata cat monday/ tuesday/ week/", "atdata cat @local/a @local/b both/ --name train")
)
def cat(
    sources: Annotated[
        list[str], typer.Argument(metavar="PATH|REF... DIR", help="Datasets, and the folder for the shards.")
    ],
    name: Name = "shard",
    as_json: AsJSON = False,
) -> None:
    """Join datasets of one sample type into one. Shards are copied byte by byte, and digests checked."""
    from atdata.reshape import join

    *wheres, folder = sources
    if not wheres:
        raise typer.BadParameter("name datasets, and then the folder for the shards: atdata cat a/ b/ both/")
    with progress("bytes") as bar:
        made = join([open_whole(where) for where in wheres], Path(folder) / f"{name}-%06d.tar", progress=bar)
    _tell(made, folder, as_json)


@app.command(
    "split",
    epilog=examples(
        "atdata split data/ parts/ train=0.8 validation=0.1 test=0.1",
        "atdata split data/ parts/ test=1000 train=rest --seed 7",
    ),
)
def split(
    where: Where,
    folder: Folder,
    parts: Annotated[list[str], typer.Argument(metavar="NAME=PART...", help="Fraction, number of samples, or 'rest'.")],
    seed: Annotated[int, typer.Option(help="Decides which samples go where.")] = 0,
    maxcount: MaxCount = None,
    maxsize: MaxSize = MAXSIZE,  # type: ignore[assignment]
    overwrite: Overwrite = False,
    as_json: AsJSON = False,
) -> None:
    """Divide a dataset by chance into parts, such as train and test, each with shards of its name."""
    from atdata.reshape import split

    with progress() as bar:
        made = split(
            open_whole(where),
            folder,
            _parts(parts),
            seed=seed,
            maxcount=maxcount,
            maxsize=maxsize,
            overwrite=overwrite,
            progress=bar,
        )
    if as_json:
        print_json({name: described(dataset) for name, dataset in made.items()})
        return
    for name, dataset in made.items():
        say(f"{name}: {dataset!r}")
    note(f"Look at them: atdata inspect {folder}")


def _parts(texts: list[str]) -> dict[str, float | int | None]:
    parts: dict[str, float | int | None] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name.replace("-", "").replace("_", "").isalnum() or name in parts:
            raise typer.BadParameter(f"{text!r}: parts have names of their own, as in train=0.8 test=0.2")
        try:
            parts[name] = None if value == "rest" else float(value) if "." in value else int(value)
        except ValueError:
            raise typer.BadParameter(f"{text!r}: a part is a fraction as 0.8, a number of samples, or 'rest'") from None
    return parts
