"""``atdata validate`` and ``atdata diff``: whether a dataset is sound, and in what two differ."""

from __future__ import annotations

from typing import Annotated, Any, cast

import typer

from atdata import Dataset, compare, validate
from atdata.look.comparison import By, Comparison
from atdata.look.validation import ShardReport, Validation
from atdata_cli.arguments import AsJSON
from atdata_cli.opening import Split, Type, Where, open_splits
from atdata_cli.output import changes_json, detail, examples, plain, print_json, progress, say, settings

app = typer.Typer(rich_markup_mode=None)

# So many differing samples are listed without --verbose
_FEW = 10


@app.command(
    "validate",
    epilog=examples(
        "atdata validate data/",
        "atdata validate s3://bucket/mnist/train-000000.tar --json",
        "atdata validate data/old.tar --type mytypes:Digit",
    ),
)
def validate_command(where: Where, split: Split = None, sample_type: Type = None, as_json: AsJSON = False) -> None:
    """Read every shard, member and field, and compare them with manifest and type. Exits with 1 if one is wrong."""
    found: dict[str, Validation] = {}
    for name, dataset in open_splits(where, split, sample_type).items():
        with progress("samples") as tell:
            found[name] = validate(dataset, progress=tell)
    if as_json:
        splits = {name: _validation_json(validation) for name, validation in found.items()}
        print_json({"dataset": where, "ok": all(validation.ok for validation in found.values()), "splits": splits})
    else:
        _print_validation(found)
    if not all(validation.ok for validation in found.values()):
        raise typer.Exit(1)


def _validation_json(validation: Validation) -> dict[str, Any]:
    return {
        "ok": validation.ok,
        "samples": validation.samples,
        "problem_count": validation.problem_count,
        "problems": [vars(problem) for problem in validation.problems],
        "shards": [
            {**vars(shard), "problems": [vars(problem) for problem in shard.problems]} for shard in validation.shards
        ],
    }


def _print_validation(found: dict[str, Validation]) -> None:
    # a manifest may have the shards of several splits
    for message in dict.fromkeys(str(problem) for validation in found.values() for problem in validation.problems):
        say(plain(message))
    shards = [shard for validation in found.values() for shard in validation.shards]
    for shard in shards:
        _print_shard(shard)
    wrong = sum(validation.problem_count for validation in found.values())
    count = sum(validation.samples for validation in found.values())
    verdict = f"{wrong:,} problem{'s'[: wrong != 1]}" if wrong else "all is well"
    say(f"{len(shards):,} shard{'s'[: len(shards) != 1]}, {count:,} samples: {verdict}")


def _print_shard(shard: ShardReport) -> None:
    for problem in shard.problems:
        say(plain(problem))
    if shard.problem_count > len(shard.problems):
        say(f"{shard.name}: and {shard.problem_count - len(shard.problems):,} problems more")
    if not shard.problem_count:
        detail(f"{shard.name}: {shard.samples:,} samples, {shard.bytes or 0:,} bytes, sound")


@app.command(
    "diff",
    epilog=examples(
        "atdata diff data/ @local/mnist",
        "atdata diff old.tar new.tar --by position",
        "atdata diff data/v1 data/v2 --split test --json",
    ),
)
def diff_command(
    a: Where,
    b: Where,
    by: Annotated[
        str | None, typer.Option(metavar="key|position", help="What tells which samples belong together.")
    ] = None,
    split: Split = None,
    sample_type: Type = None,
    as_json: AsJSON = False,
) -> None:
    """Show in what two datasets differ: their types, and which samples, in which fields. Exits with 1 if they do."""
    if by not in (None, "key", "position"):
        raise typer.BadParameter(f"{by!r} is neither key nor position", param_hint="--by")
    if "-" in (a, b):
        raise typer.BadParameter("the standard input can be read only once, and both are read twice; use a file")
    here, there = (open_splits(where, split, sample_type) for where in (a, b))
    if len(here) == len(there) == 1:  # whatever their names tell of a split
        there = dict.fromkeys(here, *there.values())
    found = {name: _compared(here[name], there[name], by) for name in here if name in there}
    alone = [[name for name in mine if name not in theirs] for mine, theirs in ((here, there), (there, here))]
    equal = all(comparison.equal for comparison in found.values()) and not any(alone)
    if as_json:
        splits = {name: _comparison_json(comparison) for name, comparison in found.items()}
        only = {"only_splits_in_a": alone[0], "only_splits_in_b": alone[1]}
        print_json({"a": a, "b": b, "equal": equal, **only, "splits": splits})
    else:
        for names, where in zip(alone, (a, b), strict=True):
            for name in names:
                say(f"split {name}: only in {where}")
        for name, comparison in found.items():
            _print_comparison(f"split {name}: " if len(found) > 1 else "", comparison, a, b)
    if not equal:
        raise typer.Exit(1)


def _compared(a: Dataset[Any], b: Dataset[Any], by: str | None) -> Comparison:
    with progress("samples") as tell:
        return compare(a, b, by=cast("By | None", by), progress=tell)


def _comparison_json(found: Comparison) -> dict[str, Any]:
    return {
        "equal": found.equal,
        "by": found.by,
        "samples": found.samples,
        "schema": None if found.schema is None else changes_json(found.schema),
        "same": found.same,
        "differing": found.differing,
        "only": found.only,
        "fields": found.fields,
        "differences": [vars(difference) for difference in found.differences],
        "only_in_a": found.only_in_a,
        "only_in_b": found.only_in_b,
    }


def _print_comparison(split: str, found: Comparison, a: str, b: str) -> None:
    types = "not compared" if found.schema is None else str(found.schema)
    say(f"{split}types: {types}")
    say(f"samples: {found.samples[0]:,} and {found.samples[1]:,}, matched by {found.by}")
    if found.equal:
        say("equal")
        return
    only = f"{found.only[0]:,} only in {a}, {found.only[1]:,} only in {b}"
    say(f"{found.same:,} equal, {found.differing:,} differ, {only}")
    for field, count in found.fields.items():
        say(f"  field {plain(field)}: differs in {count:,}")
    few = None if settings.verbose else _FEW
    for difference in found.differences[:few]:
        say(f"  ~ {plain(difference.key or difference.position)}: {plain(', '.join(difference.fields))}")
    for mark, keys in (("-", found.only_in_a), ("+", found.only_in_b)):
        for key in keys[:few]:
            say(f"  {mark} {plain(key)}")
    hidden = max(map(len, (found.differences, found.only_in_a, found.only_in_b)), default=0) > _FEW
    if hidden and few is not None:
        say("  ... -v lists more")
