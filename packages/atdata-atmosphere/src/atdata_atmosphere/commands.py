"""The command group ``atmosphere``: publish datasets on the AT Protocol network, find and verify those of others."""

from __future__ import annotations

import json
import sys
from itertools import islice
from typing import Annotated, Any, TypeAlias

import typer

from atdata import Dataset, config, load_dataset, plugins
from atdata.sources.url import scheme_of
from atdata_cli.arguments import AsJSON
from atdata_cli.output import examples, note, print_json, print_table, progress, say

from .account import kept_client, session_file
from .account import publish as publish_from
from .blob_store import PDSBlobStore
from .client import AtmosphereClient
from .entry import AtmosphereIndexEntry
from .errors import LoginFailed
from .index import AtmosphereIndex
from .network import env_options
from .promote import promote_to_atmosphere
from .verification import verify as check

atmosphere_group = typer.Typer(
    help="Publish datasets on the AT Protocol network; find and verify those of others. To download: atdata get",
    no_args_is_help=True,
)

Reference: TypeAlias = Annotated[str, typer.Argument(help="@handle/name, the AT URI of a record, or a name of yours.")]
Name: TypeAlias = Annotated[str | None, typer.Option(help="Its name on the network.")]
Description: TypeAlias = Annotated[str | None, typer.Option(help="What it is.")]
Tags: TypeAlias = Annotated[list[str] | None, typer.Option("--tag", help="A word to find it by; may be repeated.")]
License: TypeAlias = Annotated[str | None, typer.Option(help="SPDX identifier of its license, such as MIT.")]
AllowPrivate: TypeAlias = Annotated[
    bool, typer.Option("--allow-private", help="Publish URLs that nobody else can read, too.")
]


# ------------------------------------------------------------------------------------------------ account


@atmosphere_group.command(
    "login",
    epilog=examples(
        "atdata atmosphere login alice.example.org",
        "atdata atmosphere login alice.example.org --pds https://pds.example.org",
    ),
)
def login(
    handle: Annotated[str, typer.Argument(help="Handle or DID of the account.")],
    pds: Annotated[
        str | None, typer.Option(help="URL of its server, if the settings do not name it; else https://bsky.social.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Log in, with an app password that is asked for, or that ATDATA_APP_PASSWORD holds.

    The session is kept in a file that only this user can read: ATDATA_SESSION_FILE, or one in the user's data folder.
    """
    named: dict[str, Any] = {} if pds is None else {"base_url": pds}
    client = AtmosphereClient(**env_options() | named)
    client.login(handle, config.get("app_password") or _asked_password())
    path = session_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    client.save_session(path)
    _print_account(client, as_json)


@atmosphere_group.command("logout", epilog=examples("atdata atmosphere logout"))
def logout(as_json: AsJSON = False) -> None:
    """Forget the session, here and on the server."""
    client = kept_client(login=True)
    handle = client.handle
    client.logout()
    if as_json:
        print_json({"handle": handle})
    else:
        say(f"Logged out {handle}.")


@atmosphere_group.command("whoami", epilog=examples("atdata atmosphere whoami --json"))
def whoami(as_json: AsJSON = False) -> None:
    """Show which account is logged in. Exits with 1 if none is."""
    _print_account(kept_client(login=True), as_json)


def _asked_password() -> str:
    try:
        return str(typer.prompt("App password", hide_input=True, err=True))
    except typer.Abort:
        if sys.stdin is not None and sys.stdin.isatty():  # pyright: ignore[reportUnnecessaryComparison]
            raise
        raise LoginFailed("there is no terminal to ask for the app password; set ATDATA_APP_PASSWORD") from None


# ------------------------------------------------------------------------------------------------ publishing


@atmosphere_group.command(
    "publish",
    epilog=examples(
        "atdata atmosphere publish photos/ --name photos --blobs --license CC0-1.0",
        "atdata atmosphere publish 'https://example.org/photos-{000..019}.tar' --name photos",
    ),
)
def publish(
    shards: Annotated[list[str], typer.Argument(help="Shards, folders or patterns: paths, or URLs that others read.")],
    name: Annotated[str, typer.Option(help="Its name on the network.")],
    blobs: Annotated[bool, typer.Option("--blobs", help="Upload the shards into the account's repository.")] = False,
    schema: Annotated[str | None, typer.Option(help="Schema of its samples, where no manifest knows it.")] = None,
    description: Description = None,
    tag: Tags = None,
    license: License = None,
    allow_private: AllowPrivate = False,
    as_json: AsJSON = False,
) -> None:
    """Publish a dataset: by the URLs of its shards, or with its shards."""
    client = kept_client(login=True)
    dataset: Dataset[Any] = load_dataset(".", split="all", data_files=shards)
    said: dict[str, Any] = {"description": description, "tags": tag, "license": license}
    with progress("bytes") as bar:
        uri = publish_from(
            client, dataset, name, blobs=blobs, schema=schema, allow_private=allow_private, progress=bar, **said
        )
    _print_uri(uri, as_json)


@atmosphere_group.command(
    "promote",
    epilog=examples(
        "atdata atmosphere promote photos --blobs", "atdata atmosphere promote photos --to s3://public-datasets"
    ),
)
def promote(
    entry: Annotated[str, typer.Argument(help="Name of a dataset in an index of this machine or team.")],
    where: Annotated[str | None, typer.Option("--index", envvar="ATDATA_INDEX_URL", help="URL of that index.")] = None,
    blobs: Annotated[bool, typer.Option("--blobs", help="Copy the shards into the account's repository.")] = False,
    to: Annotated[str | None, typer.Option(help="Copy the shards to a store: s3://bucket/prefix, or a folder.")] = None,
    name: Name = None,
    description: Description = None,
    tag: Tags = None,
    license: License = None,
    allow_private: AllowPrivate = False,
    as_json: AsJSON = False,
) -> None:
    """Publish a dataset of an index of this machine or team; its shards stay where they are, or are copied."""
    from atdata.local import Index

    client, index = kept_client(login=True), Index(where)
    if blobs and to is not None:
        raise typer.BadParameter("--blobs and --to are two places; name one of them")
    store = PDSBlobStore(client) if blobs else None if to is None else _store(to)
    with progress("bytes") as bar:
        uri = promote_to_atmosphere(
            index.get_dataset(entry),
            index,
            client,
            data_store=store,
            name=name,
            description=description,
            tags=tag,
            license=license,
            allow_private=allow_private,
            progress=bar,
        )
    _print_uri(uri, as_json)


# ------------------------------------------------------------------------------------------------ reading


@atmosphere_group.command(
    "ls", epilog=examples("atdata atmosphere ls @alice.example.org", "atdata atmosphere ls --schemas")
)
def ls(
    owner: Annotated[str | None, typer.Argument(help="@handle or DID; by default your own.")] = None,
    schemas: Annotated[bool, typer.Option("--schemas", help="List schemas.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: AsJSON = False,
) -> None:
    """List the datasets that somebody has published, newest first."""
    client = kept_client(login=owner is None)
    index, repo = AtmosphereIndex(client), client.did if owner is None else owner
    if schemas:
        records: list[Any] = [*islice(index.schemas_of(repo), limit)]
        rows = [{"name": r["name"], "version": r["version"], "uri": str(r.uri)} for r in records]
    else:
        rows = [_row(entry) for entry in islice(index.datasets_of(repo), limit)]
    if as_json:
        print_json(rows)
    else:
        print_table([*rows[0]] if rows else [], [[_text(value) for value in row.values()] for row in rows])


@atmosphere_group.command("show", epilog=examples("atdata atmosphere show @alice.example.org/photos"))
def show(ref: Reference, as_json: AsJSON = False) -> None:
    """Show what the record of a dataset says."""
    entry = AtmosphereIndex(_reader(ref)).get_dataset(ref)
    if as_json:
        print_json({"uri": entry.uri, "record": entry.record})
        return
    facts = _row(entry) | {
        "description": entry.description,
        "tags": ", ".join(entry.tags) or None,
        "license": entry.license,
        "schema": str(entry.schema_ref),
        "metadata": None if entry.metadata is None else json.dumps(entry.metadata, ensure_ascii=False),
        "storage": entry.storage_type,
    }
    rows = [[key, _text(value)] for key, value in facts.items() if value is not None]
    print_table(
        ["", ""], [*rows, *(["shards" if number == 0 else "", url] for number, url in enumerate(entry.data_urls))]
    )


@atmosphere_group.command("verify", epilog=examples("atdata atmosphere verify @alice.example.org/photos"))
def verify(ref: Reference, as_json: AsJSON = False) -> None:
    """Check that a dataset is what its publisher signed, down to every byte. Exits with 1 if it is not proven."""
    with progress("bytes") as bar:
        report = check(ref, _reader(ref), progress=bar)
    if as_json:
        print_json(report.as_dict())
    else:
        say(report)
    if not report.ok:
        raise typer.Exit(1)


# ------------------------------------------------------------------------------------------------ what they share


def _reader(ref: str) -> AtmosphereClient:
    """A client that can look up a reference; bare names are those of the account's own datasets."""
    return kept_client(login=not ref.startswith(("@", "at://")))


def _store(url: str) -> Any:
    scheme = scheme_of(url) or "file"
    return plugins.get("atdata.stores", scheme)(url)


def _row(entry: AtmosphereIndexEntry) -> dict[str, Any]:
    created = None if entry.created is None else f"{entry.created:%Y-%m-%d}"
    return {"name": entry.name, "samples": entry.samples, "bytes": entry.bytes, "created": created, "uri": entry.uri}


def _text(value: Any) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _print_account(client: AtmosphereClient, as_json: bool) -> None:
    account = {"handle": client.handle, "did": client.did, "server": client.server}
    if as_json:
        print_json(account)
    else:
        say(f"{client.handle} ({client.did}) at {client.server}")


def _print_uri(uri: str, as_json: bool) -> None:
    if as_json:
        print_json({"uri": uri})
    else:
        say(uri)
        note(f"Check it: atdata atmosphere verify {uri}")
