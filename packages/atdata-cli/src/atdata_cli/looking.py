"""``atdata inspect`` and ``atdata head``: what a dataset is, and what its first samples are."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from atdata import Dataset, inspect
from atdata.look.inspection import Inspection, keyed
from atdata_cli.arguments import AsJSON
from atdata_cli.opening import Split, Type, Where, open_splits
from atdata_cli.output import examples, note, plain, print_json, print_table, say, settings
from atdata_cli.showing import brief, jsonable, number, shape_text

app = typer.Typer(rich_markup_mode=None)

# So many shards are listed without --verbose
_FEW = 8
# Pictures on a contact sheet, and samples in a table, by default
_SHEET, _ROWS = 64, 5


@app.command(
    "inspect",
    epilog=examples(
        "atdata inspect data/",
        "atdata inspect 'data/train-{000000..000009}.tar' --json",
        "atdata inspect @local/mnist",
        "atdata inspect https://example.org/mnist/manifest.json",
    ),
)
def inspect_command(where: Where, split: Split = None, sample_type: Type = None, as_json: AsJSON = False) -> None:
    """Tell what a dataset is: its type, fields, shards and health. Reads manifests and the first samples."""
    found = {name: inspect(dataset) for name, dataset in open_splits(where, split, sample_type).items()}
    if as_json:
        print_json({"dataset": where, "splits": {name: _inspection_json(facts) for name, facts in found.items()}})
        return
    for name, facts in found.items():
        if name != next(iter(found)):
            say()
        _print_inspection(name if len(found) > 1 else "", facts)


def _inspection_json(facts: Inspection) -> dict[str, Any]:
    return {
        "type": facts.type,
        "description": facts.description,
        "samples": facts.samples,
        "bytes": facts.bytes,
        "layout": facts.layout,
        "fields": [vars(field) for field in facts.fields],
        "shards": [vars(shard) for shard in facts.shards],
        "problems": facts.problems,
    }


def _print_inspection(split: str, facts: Inspection) -> None:
    unknown = "not known without a manifest; atdata validate counts them"
    samples = unknown if facts.samples is None else f"{facts.samples:,}"
    size = "not known" if facts.bytes is None else f"{facts.bytes:,}"
    rows = [
        *([("split", split)] if split else []),
        ("type", facts.type if facts.type != "DictSample" else "none is known; what follows was seen in samples"),
        *([("", facts.description)] if facts.description else []),
        ("samples", samples),
        ("bytes", size),
        ("shards", f"{len(facts.shards):,}"),
        ("layout", facts.layout),
        ("health", "good, as far as can be seen without reading all" if not facts.problems else "see below"),
    ]
    print_table(("", ""), rows)
    say()
    fields = [
        (
            *(field.name, field.type, ", ".join(field.dtypes)),
            "" if field.shape is None else shape_text(field.shape),
            field.description or "",
        )
        for field in facts.fields
    ]
    print_table(("field", "type", "dtype", "shape", "description"), fields)
    say()
    shown = facts.shards if settings.verbose else facts.shards[:_FEW]
    shards = [(shard.name, number(shard.samples) or "?", number(shard.bytes) or "?") for shard in shown]
    print_table(("shard", "samples", "bytes"), shards, right=("samples", "bytes"))
    if len(shown) < len(facts.shards):
        note(f"... and {len(facts.shards) - len(shown):,} more; -v lists all")
    for problem in facts.problems:
        say(f"problem: {plain(problem)}")


@app.command(
    "head",
    epilog=examples(
        "atdata head data/ -n 3",
        "atdata head @local/mnist --split test --json",
        "atdata head data/train.tar --image pixels --out digits.png --label label",
        "curl -s https://example.org/train.tar | atdata head -",
    ),
)
def head_command(
    where: Where,
    count: Annotated[
        int | None, typer.Option("-n", "--count", min=1, help=f"So many samples; {_ROWS}, or {_SHEET} pictures.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Write this field's pictures to one PNG, a contact sheet.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="FIELD", help="With --image: what stands below each picture.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --image: the PNG; by default FIELD.png, which must not exist.")
    ] = None,
    split: Split = None,
    sample_type: Type = None,
    as_json: AsJSON = False,
) -> None:
    """Show the first samples: of each field what it holds, arrays and bytes in short."""
    if image is None and (label is not None or out is not None):
        raise typer.BadParameter("--label and --out go with --image FIELD")
    dataset = next(iter(open_splits(where, split, sample_type).values()))
    if image is not None:
        _sheet(dataset, image, label, out, count or _SHEET, as_json)
        return
    rows = list(islice(keyed(dataset), count or _ROWS))
    if as_json:
        print_json([{"key": key, "fields": jsonable(values)} for key, values in rows])
        return
    names = list(dict.fromkeys(name for _, values in rows for name in values))
    print_table(
        ("key", *names),
        [(str(key), *(brief(values[name]) if name in values else "" for name in names)) for key, values in rows],
    )


def _sheet(dataset: Dataset[Any], image: str, label: str | None, out: Path | None, count: int, as_json: bool) -> None:
    from atdata_cli.pictures import contact_sheet, save

    path = out or Path(f"{image}.png")
    if out is None and path.exists():
        raise FileExistsError(17, "it exists; --out PATH says where else the picture goes, or to replace it", str(path))
    pictures = [
        (values.get(image), None if label is None else values.get(label)) for _, values in islice(keyed(dataset), count)
    ]
    save(contact_sheet(pictures, image), path)
    if as_json:
        print_json({"path": str(path), "samples": len(pictures)})
    else:
        say(f"Wrote {path}: {len(pictures):,} pictures of {image!r}")
