"""Content identifiers: CIDv1 under sha-256, as the AT Protocol uses them. DAG-CBOR for values, raw for files."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import IO, Any

import libipld

from .errors import NoCID

# CIDv1, codec, hash sha2-256, 32 bytes
_DAG_CBOR = b"\x01\x71\x12\x20"
_RAW = b"\x01\x55\x12\x20"
_BLOCK = 1 << 20


def generate_cid(value: Any) -> str:
    """The CID of a value: the same for equal values on every machine.

    Args:
        value: JSON-like: dicts with text keys, lists, text, numbers, bytes, booleans, None.

    Raises:
        NoCID: the value has no DAG-CBOR form; a ``ValueError``.
    """
    try:
        return _text(_DAG_CBOR, hashlib.sha256(libipld.encode_dag_cbor(value)))
    except (ValueError, RecursionError) as error:
        raise NoCID(f"the value has no content identifier: {error}") from error


def verify_cid(cid: str, value: Any) -> bool:
    """Whether ``cid`` is the CID of ``value``, in the one spelling that the AT Protocol has for it.

    Raises:
        NoCID: the value has no DAG-CBOR form; a ``ValueError``.
    """
    return generate_cid(value) == cid


def cid_of_file(file: str | os.PathLike[str] | IO[bytes]) -> str:
    """The CID of a file's bytes, as a blob has it. The file is read in blocks, never as a whole.

    Args:
        file: a path, or a binary stream, which is read from where it stands to its end.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(file, str | os.PathLike):
        with open(file, "rb", buffering=0) as stream:
            return _text(_RAW, hashlib.file_digest(stream, "sha256"))
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return _text(_RAW, digest)


# the name that indexes know it by
cid_of = generate_cid


def _text(prefix: bytes, digest: Any) -> str:
    # multibase: "b" says lower-case base32 without padding
    return "b" + base64.b32encode(prefix + digest.digest()).decode().lower().rstrip("=")
