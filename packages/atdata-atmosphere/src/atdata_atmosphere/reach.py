"""By which URLs others can read what is read here."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from atdata import plugins
from atdata.errors import AtdataError, UnsafeURL
from atdata.indexing import own_source
from atdata.sources import public
from atdata.sources.braces import check, expand
from atdata.sources.url import scheme_of

from .policy import Policy, origin

_ADVICE = "copy the shards to where they can, with data_store=..., or publish it nevertheless, with allow_private=True"


def public_urls(urls: Sequence[str], store: object = None) -> list[str]:
    """URLs by which others can read what these name; those of S3 services become the ``https`` URLs there.

    Whether a server gives out what is at an address is not asked.

    Args:
        urls: URLs, with braces.
        store: the data store that reads them here, or None.

    Raises:
        UnsafeURL: one that only this machine, its network or its user can read: a file, an address that is not
            public, no ``https``. A ``ValueError``.
        ServerUnreachable: a host that cannot be found.
    """
    check(list(urls))
    found = [_at_endpoint(url, store) if scheme_of(url) == "s3" else url for url in urls]
    hosts = dict[tuple[str, str, int], str]()
    for url in found:
        scheme = scheme_of(url)
        if scheme in ("", "file"):
            raise UnsafeURL(f"nobody else can read {public(url)!r:.200}, a file of this machine; {_ADVICE}")
        if scheme in ("http", "https"):
            hosts |= {origin(shard): shard for shard in expand(url)}
        elif scheme not in ("s3", "gs", "at"):
            raise UnsafeURL(f"nobody else can read {public(url)!r:.200}; {_ADVICE}")
    for (scheme, host, port), url in hosts.items():
        if scheme != "https":
            raise UnsafeURL(f"nobody else reads {public(url)!r:.200}, because it is not https; {_ADVICE}")
        try:
            Policy().addresses(host, port)
        except UnsafeURL:
            raise UnsafeURL(
                f"nobody else can read {public(url)!r:.200}, which is at no public address; {_ADVICE}"
            ) from None
    return found


def _at_endpoint(url: str, store: object) -> str:
    """The ``https`` URL of what is in a bucket of another service than AWS, which its ``s3`` URL does not name."""
    shard = next(iter(expand(url)))
    try:
        source = own_source(store, [shard]) or plugins.get("atdata.sources", "s3")([shard])
    except AtdataError:  # nothing that is installed reads it
        return url
    endpoint = getattr(source, "endpoint", None)
    bucket, _, key = url.partition("://")[2].partition("/")
    return url if endpoint is None else f"{endpoint.rstrip('/')}/{bucket}/{quote(key, safe='/{},.')}"
