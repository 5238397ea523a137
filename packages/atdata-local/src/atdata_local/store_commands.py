"""The command group ``store``: shards into a store, out of it, and whether they are right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from atdata import Dataset, URLSource
from atdata.errors import ShardPermissionError
from atdata.metering import Meter, MeteredShards
from atdata.sources.url import scheme_of
from atdata_cli.arguments import SIZE, AsJSON, MaxCount
from atdata_cli.output import examples, note, print_json, progress, say

from .s3.source import S3Source
from .stores import DiskDataStore, S3DataStore
from .stores.leftovers import Leftover
from .stores.s3 import open_store
from .stores.verify import Kept, examine, survey

store_group = typer.Typer(help="Put shards into a store on disk or in S3, and look after them.", no_args_is_help=True)

Store: TypeAlias = Annotated[str, typer.Argument(help="A folder, s3://bucket, or s3://bucket/prefix.")]
Endpoint: TypeAlias = Annotated[
    str | None, typer.Option(envvar="AWS_ENDPOINT_URL", help="URL of an S3-compatible service; by default AWS.")
]
Credentials: TypeAlias = Annotated[
    Path | None, typer.Option(help="An .env file with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT.")
]
MaxSize: TypeAlias = Annotated[int | None, SIZE]

_DURATION = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@store_group.command(
    "put",
    epilog=examples(
        "atdata store put data/train-{000000..000009}.tar --to s3://bucket/mnist",
        "atdata store put data --to /srv/datasets/mnist",
    ),
)
def put(
    shards: Annotated[list[str], typer.Argument(help="Paths or URLs of shards; brace patterns stand for many.")],
    store: Annotated[str, typer.Option("--to", help="A folder, s3://bucket, or s3://bucket/prefix.")],
    maxcount: MaxCount = None,
    maxsize: MaxSize = None,
    endpoint: Endpoint = None,
    credentials: Credentials = None,
    as_json: AsJSON = False,
) -> None:
    """Store shards: all of them or, after an error, none. Prints their URLs."""
    there = _store(store, endpoint, credentials)
    _copy(_source(shards, endpoint, credentials), there, maxcount, maxsize, as_json)


@store_group.command("get", epilog=examples("atdata store get s3://bucket/mnist --to data"))
def get(
    shards: Annotated[list[str], typer.Argument(help="URLs of shards, or of a folder with a manifest.")],
    folder: Annotated[Path, typer.Option("--to", help="The folder for them.")],
    maxcount: MaxCount = None,
    maxsize: MaxSize = None,
    endpoint: Endpoint = None,
    credentials: Credentials = None,
    as_json: AsJSON = False,
) -> None:
    """Copy shards to a folder of this machine: all of them or, after an error, none. Prints their URLs."""
    store = DiskDataStore(folder)
    before = len(survey(store)) if store.root.is_dir() else 0
    _copy(_source(shards, endpoint, credentials), store, maxcount, maxsize, as_json)
    if before:
        shards_before = f"{before:,} shard{'s'[: before != 1]} before"
        note(f"{folder} had {shards_before}, and has these beside them; atdata get takes none twice")


@store_group.command("ls", epilog=examples("atdata store ls s3://bucket/mnist", "atdata store ls /srv/datasets --json"))
def ls(store: Store, endpoint: Endpoint = None, credentials: Credentials = None, as_json: AsJSON = False) -> None:
    """List the shards of a store, and what its manifests know of them."""
    _print(survey(_there(store, endpoint, credentials)), {}, as_json)


@store_group.command(
    "verify", epilog=examples("atdata store verify s3://bucket/mnist --endpoint http://127.0.0.1:9000")
)
def verify(store: Store, endpoint: Endpoint = None, credentials: Credentials = None, as_json: AsJSON = False) -> None:
    """Read every shard of a store, and compare it with its manifest. Exits with 1 if one is wrong, or left over."""
    there = _there(store, endpoint, credentials)
    shards = survey(there, left=_leftovers(there))
    with progress("bytes") as bar:
        meter = Meter(bar, sum(shard.bytes or 0 for shard in shards))
        problems = {shard.url: problem for shard in shards if (problem := examine(there, shard, meter)) is not None}
    _print(shards, problems, as_json)
    if problems:
        raise typer.Exit(1)


@store_group.command("sweep", epilog=examples("atdata store sweep s3://bucket/mnist --older-than 7d --dry-run"))
def sweep(
    store: Store,
    older_than: Annotated[str, typer.Option(help="Leave what writers touched since: 90m, 24h, 7d.")] = "24h",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    endpoint: Endpoint = None,
    credentials: Credentials = None,
    as_json: AsJSON = False,
) -> None:
    """Remove what writers that died have left: shards that no manifest names, and parts of shards."""
    found = _there(store, endpoint, credentials).sweep(_duration(older_than), dry_run=dry_run)
    if as_json:
        keys = ("url", "kind", "bytes")
        print_json([{key: getattr(left, key) for key in keys} | {"alive": left.alive.isoformat()} for left in found])
        return
    for left in found:
        say(f"{left.bytes:>15,} bytes  {left.kind:<6}  of {left.alive:%Y-%m-%d %H:%M} UTC  {left.url}")
    total = sum(left.bytes for left in found)
    say(f"{len(found):,} leftovers, {total:,} bytes, {'would be ' if dry_run else ''}removed")


def _store(url: str, endpoint: str | None, credentials: Path | None) -> DiskDataStore | S3DataStore:
    if scheme_of(url) != "s3":
        return DiskDataStore(url)
    return open_store(url, credentials=credentials, endpoint_url=None if credentials else endpoint)


def _there(url: str, endpoint: str | None, credentials: Path | None) -> DiskDataStore | S3DataStore:
    """A store that is looked at, and so must be there."""
    store = _store(url, endpoint, credentials)
    if isinstance(store, DiskDataStore) and not store.root.is_dir():
        raise typer.BadParameter(f"there is no folder {store.root}")
    return store


def _duration(text: str) -> timedelta:
    """A time such as 90m, 24h or 7d."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no time; write 90m, 24h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _leftovers(store: DiskDataStore | S3DataStore) -> list[Leftover]:
    try:
        return store.leftovers()
    except ShardPermissionError as error:
        note(f"what writers have left is not known: {error}")
        return []


def _source(urls: Sequence[str], endpoint: str | None, credentials: Path | None) -> Any:
    """The source of what was named; folders stand for the shards that their manifests name."""
    shards: list[str] = []
    for url in urls:
        folder = scheme_of(url) == "s3" and not url.endswith(".tar")
        if folder or (not scheme_of(url) and Path(url).is_dir()):
            shards += [shard.url for shard in survey(_store(url, endpoint, credentials)) if shard.facts is not None]
        else:
            shards.append(url)
    if not shards:
        raise typer.BadParameter(f"no manifest names a shard in {', '.join(urls)}")
    if all(scheme_of(shard) == "s3" for shard in shards):
        return S3Source.from_urls(shards, _access=_store(shards[0], endpoint, credentials).access)  # type: ignore[union-attr]
    return URLSource(shards)


def _copy(
    source: Any, store: DiskDataStore | S3DataStore, maxcount: int | None, maxsize: int | None, as_json: bool
) -> None:
    with progress("bytes") as bar:
        dataset: Dataset[Any] = Dataset(MeteredShards(source, Meter(bar, None)))
        urls = store.write_shards(dataset, prefix="", maxcount=maxcount, maxsize=maxsize)
    if as_json:
        print_json(urls)
    else:
        say("\n".join(urls))


def _print(shards: Sequence[Kept], problems: dict[str, str], as_json: bool) -> None:
    rows = [
        {
            "url": shard.url,
            "bytes": shard.bytes,
            "samples": shard.facts.samples if shard.facts else None,
            "sha256": shard.facts.sha256 if shard.facts else None,
            "problem": problems.get(shard.url, shard.problem),
        }
        for shard in shards
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        samples = "?" if row["samples"] is None else f"{row['samples']:,}"
        problem = f"  {row['problem']}" if row["problem"] else ""
        say(f"{row['bytes'] or 0:>15,} bytes  {samples:>12} samples  {row['url']}{problem}")
    total = sum(shard.bytes or 0 for shard in shards)
    wrong = sum(row["problem"] is not None for row in rows)
    say(f"{len(rows):,} shards, {total:,} bytes, {wrong or 'no'} problem{'s'[: wrong != 1]}")
