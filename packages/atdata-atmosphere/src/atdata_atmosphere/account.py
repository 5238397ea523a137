"""The account of the person at this machine, as the commands keep it, and how they publish from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from atdata import Dataset, config
from atdata.indexing import record_of_type
from atdata.metering import Meter, MeteredShards
from atdata.progress import ProgressCallback
from atdata.sources.url import local_path

from .blob_store import PDSBlobStore
from .client import AtmosphereClient
from .datasets import DatasetPublisher
from .errors import NotLoggedIn
from .network import env_options
from .reach import public_urls
from .schemas import publish_once
from .storage import facts_of, urls_of


def session_file() -> Path:
    """Where the session is kept: where the settings say, or in the user's data folder."""
    from platformdirs import user_data_path

    given = config.get("session")
    return user_data_path("atdata") / "session" if given is None else Path(given).expanduser()


def kept_client(*, login: bool) -> AtmosphereClient:
    """A client, with the session that was kept, or else the login of the environment.

    Raises:
        NotLoggedIn: there is neither, and it is needed.
    """
    client, path = AtmosphereClient(**env_options()), session_file()
    handle, password = config.get("handle"), config.get("app_password")
    if path.exists():
        client.load_session(path)
    elif handle and password:
        client.login(handle, password)
    elif login:
        raise NotLoggedIn("this needs a login: atdata atmosphere login alice.example.org")
    return client


def is_here(dataset: Dataset[Any]) -> bool:
    """Whether shards of a dataset are files of this machine."""
    return any(local_path(shard) is not None for shard in dataset.list_shards())


def publish(
    client: AtmosphereClient,
    dataset: Dataset[Any],
    name: str,
    *,
    blobs: bool,
    schema: str | None = None,
    allow_private: bool = False,
    progress: ProgressCallback | None = None,
    **said: Any,
) -> str:
    """Publish a dataset by the URLs of its shards, or with its shards.

    Args:
        client: it is logged in.
        dataset: the dataset.
        name: its name.
        blobs: upload the shards into the account's repository.
        schema: its schema; by default that of its type, which is published unless it is.
        allow_private: publish URLs that nobody else can read, too.
        progress: told how many bytes of blobs are sent, of how many.
        said: ``description``, ``tags``, ``license``, ``metadata``.

    Returns:
        AT URI of the record.

    Raises:
        UnsafeURL: a URL that nobody else can read; a ``ValueError``.
        AtmosphereError: as for ``AtmosphereIndex.insert_dataset``.
    """
    if blobs:
        from .index import AtmosphereIndex

        facts = dataset._facts()
        meter = Meter(progress, None if facts is None else sum(fact.bytes for fact in facts))
        watched: Dataset[Any] = Dataset.of(dataset.sample_type, MeteredShards(dataset.source, meter))
        index = AtmosphereIndex(client, data_store=PDSBlobStore(client))
        return index.insert_dataset(watched, name=name, schema_ref=schema, maxcount=None, **said).uri
    given = urls_of(dataset)
    urls = given if allow_private or client.policy.allow_insecure else public_urls(given)
    ref = publish_once(client, record_of_type(dataset)) if schema is None else schema
    return str(DatasetPublisher(client).publish_with_urls(urls, ref, name=name, shards=facts_of(dataset), **said))
