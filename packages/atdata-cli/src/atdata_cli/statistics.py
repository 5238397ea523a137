"""``atdata stats``: which values each field has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from atdata import stats
from atdata.look.moments import Numbers
from atdata.look.statistics import FieldStatistics, Statistics
from atdata_cli.arguments import AsJSON
from atdata_cli.opening import Split, Type, Where, open_splits
from atdata_cli.output import examples, print_json, print_table, progress, say
from atdata_cli.showing import jsonable, number, shape_text

app = typer.Typer(rich_markup_mode=None)


@app.command(
    "stats",
    epilog=examples(
        "atdata stats data/",
        "atdata stats @local/mnist --split train --field label --json",
        "atdata stats data/ --plot report.png",
    ),
)
def stats_command(
    where: Where,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Only this field; may be repeated. Others are not decoded."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Also write a plot for each field.")] = None,
    split: Split = None,
    sample_type: Type = None,
    as_json: AsJSON = False,
) -> None:
    """Read all samples once, and tell of each field which values it has."""
    datasets = open_splits(where, split, sample_type)
    if plot is not None and len(datasets) > 1:
        raise typer.BadParameter(f"--plot shows one split; choose --split {' or --split '.join(datasets)}")
    found: dict[str, Statistics] = {}
    for name, dataset in datasets.items():
        with progress("samples") as tell:
            found[name] = stats(dataset, fields=field, histograms=plot is not None, progress=tell)
    if plot is not None:
        from atdata_cli.pictures import report, save

        save(report(where, next(iter(found.values()))), plot)
    if as_json:
        splits = {name: _json(statistics) for name, statistics in found.items()}
        print_json({"dataset": where, "splits": splits, "plot": None if plot is None else str(plot)})
        return
    for name, statistics in found.items():
        _print(name if len(found) > 1 else "", statistics)
    if plot is not None:
        say(f"Wrote {plot}")


def _json(statistics: Statistics) -> dict[str, Any]:
    return {
        "samples": statistics.samples,
        "fields": [
            {
                "name": field.name,
                "type": field.type,
                "count": field.count,
                "missing": field.missing,
                "numbers": _numbers_json(field.numbers),
                "lengths": _numbers_json(field.lengths),
                "distinct": field.distinct,
                "distinct_is_exact": field.distinct_is_exact,
                "common": [{"value": jsonable(value), "count": count} for value, count in field.common],
                "dtypes": field.dtypes,
                "shapes": [{"shape": shape, "count": count} for shape, count in field.shapes.items()],
            }
            for field in statistics.fields.values()
        ],
    }


def _numbers_json(numbers: Numbers | None) -> dict[str, Any] | None:
    return None if numbers is None else {key: value for key, value in vars(numbers).items() if key != "histogram"}


_COLUMNS = ("field", "type", "count", "missing", "min", "mean", "max", "std", "distinct", "lengths and shapes")


def _print(split: str, statistics: Statistics) -> None:
    say(f"{split + ': ' if split else ''}{statistics.samples:,} samples")
    print_table(_COLUMNS, map(_row, statistics.fields.values()), right=_COLUMNS[2:-1])


def _row(field: FieldStatistics) -> tuple[str, ...]:
    numbers = field.numbers
    moments = [""] * 4
    if numbers is not None:
        moments = [number(value) for value in (numbers.min, numbers.mean, numbers.max, numbers.std)]
    return (
        *(field.name, field.type, number(field.count), number(field.missing), *moments),
        number(field.distinct) + ("" if field.distinct is None or field.distinct_is_exact else "+"),
        _extent(field),
    )


def _extent(field: FieldStatistics) -> str:
    """How long values are, or of which shapes."""
    if field.shapes:
        shown = ", ".join(shape_text(shape) for shape in list(field.shapes)[:3])
        return shown if len(field.shapes) <= 3 else f"{shown} and {len(field.shapes) - 3:,} more"
    lengths = field.lengths
    if lengths is None:
        return ""
    return (
        f"{lengths.min} to {lengths.max}, mean {number(lengths.mean)}"
        if lengths.min < lengths.max
        else str(lengths.min)
    )
