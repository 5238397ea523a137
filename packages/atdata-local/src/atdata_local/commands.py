"""The command groups ``index``, ``schema`` and ``diagnose``, which the command ``atdata`` loads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from atdata.errors import SchemaNotFound
from atdata.schema import diff, schema_cid, to_json_schema, type_of
from atdata.schema.named import record_at
from atdata.schema.stubs import import_path, write_stub
from atdata.uri import is_reference
from atdata_cli.arguments import AsJSON
from atdata_cli.output import changes_json, examples, note, print_json, print_table, say

from .diagnose import diagnose
from .entry import LocalDatasetEntry
from .index import Index
from .places import stub_folder

index_group = typer.Typer(help="Find and manage the datasets of an index.", no_args_is_help=True)
schema_group = typer.Typer(help="Look at schemas: of an index, of datasets, of classes.", no_args_is_help=True)
diagnose_group = typer.Typer(help="Check the place of an index.")

Where: TypeAlias = Annotated[
    str | None,
    typer.Option("--index", envvar="ATDATA_INDEX_URL", help="URL of the index; by default that of this user."),
]
Limit: TypeAlias = Annotated[int, typer.Option(min=1, help="At most so many.")]
Cursor: TypeAlias = Annotated[str | None, typer.Option(help="Begin behind this name.")]
Name: TypeAlias = Annotated[str, typer.Argument(help="Name of a dataset.")]
Reference: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="SCHEMA", help="Name, Name@version, reference, ./dataset/, @owner/dataset, file.json or module:Class."
    ),
]


@index_group.command("list", epilog=examples("atdata index list --prefix mnist", "atdata index list --json"))
def list_datasets(
    prefix: Annotated[str, typer.Option(help="Only names that begin so.")] = "",
    limit: Limit = 100,
    cursor: Cursor = None,
    where: Where = None,
    as_json: AsJSON = False,
) -> None:
    """List datasets by name."""
    _print_entries(Index(where).list_datasets(limit, cursor, prefix), limit, as_json)


@index_group.command(
    "search",
    epilog=examples("atdata index search handwritten dig", "atdata index search --tag small --schema Digit@1.0.0"),
)
def search(
    text: Annotated[list[str] | None, typer.Argument(help="Words, or beginnings of words.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag that datasets must have; may be repeated.")] = None,
    schema: Annotated[str | None, typer.Option(help="Name, Name@version, or reference of their schema.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    where: Where = None,
    as_json: AsJSON = False,
) -> None:
    """Find datasets by words of their name, description, tags and schema."""
    found = Index(where).search(" ".join(text or ()), tags=tag or (), schema=schema, limit=limit, cursor=cursor)
    _print_entries(found, limit, as_json)


@index_group.command("show", epilog=examples("atdata index show digits", "atdata index show digits --versions --json"))
def show(
    name: Name,
    versions: Annotated[bool, typer.Option("--versions", help="All entries that the name has had.")] = False,
    where: Where = None,
    as_json: AsJSON = False,
) -> None:
    """Show all that is known of a dataset."""
    index = Index(where)
    entry = index.get_dataset(name)
    if versions:
        _print_entries(index.versions(entry.name), None, as_json)
    elif as_json:
        print_json(entry.as_dict())
    else:
        print_table(("", ""), [(key, _shown(value)) for key, value in entry.as_dict().items() if value is not None])


@index_group.command("rm", epilog=examples("atdata index rm digits", "atdata index rm digits --yes"))
def remove(
    name: Name,
    cid: Annotated[str | None, typer.Option(help="Only the entry with this CID.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    where: Where = None,
    as_json: AsJSON = False,
) -> None:
    """Remove a dataset, with all its versions, from the index. Its shards stay."""
    index = Index(where)
    entries = index.versions(name)
    what = f"{name!r} with {len(entries)} version{'s'[: len(entries) != 1]}" if cid is None else f"{cid} of {name!r}"
    if not yes:
        try:
            typer.confirm(f"Remove {what} from {index.url}?", abort=True, err=True)
        except typer.Abort:
            note("Nothing was removed; --yes removes without asking.")
            raise
    index.delete_entry(name, cid=cid)
    if as_json:
        print_json({"removed": name, "cid": cid})
    else:
        say(f"Removed {what}.")


@index_group.command("rename", epilog=examples("atdata index rename digits handwritten-digits"))
def rename(
    name: Name,
    to: Annotated[str, typer.Argument(help="Its new name.")],
    where: Where = None,
    as_json: AsJSON = False,
) -> None:
    """Give a dataset another name."""
    entry = Index(where).rename(name, to)
    if as_json:
        print_json(entry.as_dict())
    else:
        say(f"{name!r} is now {entry.name!r}.")


@schema_group.command("list", epilog=examples("atdata schema list", "atdata schema list --json"))
def list_schemas(where: Where = None, as_json: AsJSON = False) -> None:
    """List schemas by name and version."""
    records = list(Index(where).schemas)
    if as_json:
        print_json([record.to_dict() for record in records])
    else:
        rows = [(r.name, r.version, ", ".join(f.name for f in r.fields), _first_line(r.description)) for r in records]
        print_table(("name", "version", "fields", "description"), rows)


@schema_group.command(
    "show",
    epilog=examples(
        "atdata schema show Digit",
        "atdata schema show Digit@1.0.0 --json",
        "atdata schema show ./data/",
        "atdata schema show my_types:Digit",
    ),
)
def show_schema(ref: Reference, where: Where = None, as_json: AsJSON = False) -> None:
    """Show a schema: of an index, of a dataset, or of a class, whose module is imported."""
    record = _record(ref, where)
    if as_json:
        print_json(record)
        return
    published = f", published {record['createdAt'][:16].replace('T', ' ')} UTC" if "createdAt" in record else ""
    say(f"{record.get('$ref') or record['name']}\n{schema_cid(record)}{published}")
    if record.get("description"):
        say(record["description"])
    say(repr(type_of(record)))


@schema_group.command(
    "diff", epilog=examples("atdata schema diff Digit@1.0.0 Digit@2.0.0", "atdata schema diff ./old/ my_types:Digit")
)
def diff_schemas(old: Reference, new: Reference, where: Where = None, as_json: AsJSON = False) -> None:
    """Show what differs between two schemas, and for whom that matters."""
    found = diff(_record(old, where), _record(new, where))
    if as_json:
        print_json(changes_json(found))
    else:
        say(str(found))


@schema_group.command(
    "stub", epilog=examples("atdata schema stub Digit", "atdata schema stub Digit@1.0.0 --dir typings")
)
def stub(
    ref: Reference,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where type checkers look for modules.")] = None,
    where: Where = None,
    as_json: AsJSON = False,
) -> None:
    """Write a Python module from which editors know the fields of a schema."""
    record = _record(ref, where)
    path = write_stub(record, folder or stub_folder())
    module = import_path(record)
    if as_json:
        print_json({"path": str(path), "module": module, "name": record["name"]})
    else:
        say(f"Wrote {path}: from {module} import {record['name']}")


@schema_group.command(
    "json-schema", epilog=examples("atdata schema json-schema Digit", "atdata schema json-schema ./data/")
)
def json_schema(ref: Reference, where: Where = None) -> None:
    """Print a schema as JSON Schema, for programs that know nothing of atdata."""
    print_json(to_json_schema(_record(ref, where)))


@diagnose_group.callback(
    invoke_without_command=True,
    epilog=examples("atdata diagnose", "atdata diagnose --audit --index redis://team.example.org"),
)
def check(
    audit: Annotated[bool, typer.Option("--audit", help="Also look at every record and follow every lookup.")] = False,
    where: Where = None,
    as_json: AsJSON = False,
) -> None:
    """Check the place of an index: persistence, memory, version, latency. Exits with 1 where something is wrong."""
    index = Index(where)
    findings = diagnose(index.catalog, audit=audit)
    if as_json:
        print_json({"index": index.url, "findings": [vars(finding) for finding in findings]})
    else:
        say(index.url)
        rows = [(f.status, f.check, f.found, f.advice) for f in findings]
        print_table(("", "", "", ""), rows)
    if any(finding.status == "error" for finding in findings):
        raise typer.Exit(1)


def _record(text: str, where: str | None) -> Mapping[str, Any]:
    """The schema record that a person names."""
    found = record_at(text)
    if found is not None:
        return found
    try:
        return Index(where).get_schema(text if is_reference(text) else f"atdata://local/sampleSchema/{text}")
    except SchemaNotFound as error:
        if not Path(text).exists():
            raise
        raise SchemaNotFound(f"{error}. Of the dataset {text} it is ./{text}") from None


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _print_entries(entries: Sequence[LocalDatasetEntry], limit: int | None, as_json: bool) -> None:
    if as_json:
        print_json([entry.as_dict() for entry in entries])
        return
    columns = ("name", "schema", "samples", "shards", "created", "cid")
    rows = [
        (
            *(entry.name, entry.schema_ref.rpartition("/")[2]),
            *("" if count is None else f"{count:,}" for count in (entry.samples, entry.shards)),
            *("" if entry.created is None else f"{entry.created:%Y-%m-%d}", entry.cid),
        )
        for entry in entries
    ]
    print_table(columns, rows, right=("samples", "shards"))
    if len(entries) == limit:
        note(f"There may be more: --cursor {entries[-1].name!r}")
