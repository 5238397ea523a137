"""Content identifiers: CIDv1 of DAG-CBOR under sha-256, as the AT Protocol uses them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import libipld

# CIDv1, codec dag-cbor, hash sha2-256, 32 bytes
_PREFIX = b"\x01\x71\x12\x20"


def cid_of(value: Any) -> str:
    """The CID of a value: the same for equal values on every machine.

    Args:
        value: JSON-like: dicts with text keys, lists, text, numbers, bytes, booleans, None.

    Raises:
        ValueError: the value has no DAG-CBOR form.
    """
    digest = hashlib.sha256(libipld.encode_dag_cbor(value)).digest()
    # multibase: "b" says lower-case base32 without padding
    return "b" + base64.b32encode(_PREFIX + digest).decode().lower().rstrip("=")
