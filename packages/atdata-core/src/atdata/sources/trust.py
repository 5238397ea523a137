"""Which URLs may be followed when somebody else wrote them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ..errors import UnsafeURL
from . import public
from .url import local_path, scheme_of

_ANYWHERE = ("https", "s3", "gs", "at")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet.

    Raises:
        ValueError: it is no IP address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # addresses that stand for IPv4 ones
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def check_trust(urls: Iterable[str], *, of: str, local: bool = False, insecure: bool = False) -> None:
    """Refuse URLs of an index entry or a network record that only its reader may decide to follow.

    Such a URL must lead to one who can prove who it is: by ``https``, or the protocol of a store or repository. So no
    record makes its reader run a command, read a file, or ask a plain ``http`` server of the reader's own network.

    Args:
        urls: URLs, one by one; no patterns.
        of: what names them, for messages.
        local: the index is on this machine, so that files are allowed.
        insecure: ``http`` is allowed, for test networks.

    Raises:
        UnsafeURL: names the first that is refused, and why.
    """
    allowed = (*_ANYWHERE, *(["http"] if insecure else []), *(["file", ""] if local else []))
    for url in urls:
        scheme = scheme_of(url)
        if scheme not in allowed:
            raise UnsafeURL(
                f"{of} names {public(url)!r:.200}, which it may not: an entry's shards are behind "
                f"{', '.join(_ANYWHERE)}{' or in files' if local else ''}. If you trust it, name the shards "
                "yourself: atdata.Dataset(urls)"
            )
        if scheme in ("file", ""):
            local_path(url)
