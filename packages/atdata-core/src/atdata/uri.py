"""References to schemas, datasets and records: one parser for every form.

    atdata://local/sampleSchema/Name@1.0.0           a schema of this machine or team
    atdata://alice.example.org/sampleSchema/Name     one on the network, at its highest version
    at://did:plc:abc123/collection.of.records/key    a record
    at://did:plc:abc123/blob/bafkrei...              a blob
    @local/name, @alice.example.org/name             a dataset
    atdata://local/dataset/name                      the same, in another form
    local://schemas/module.Name@1.0.0                a schema in older references

Handles are not case-sensitive and are kept in lower case; everything else is kept as written. References hold no
percent-encoding: what would need it cannot be in them.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Self, TypeAlias

from .errors import InvalidReference, SchemaError
from .schema.version import Version

LOCAL = "local"

_LONGEST = 4096
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HANDLE = re.compile(rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
# A port is the one thing that may be encoded, and only on a test network
_DID = re.compile(r"did:web:localhost%3A\d{1,5}|did:[a-z]+:[a-zA-Z0-9._:-]*[a-zA-Z0-9._-]")
_NSID = re.compile(
    r"[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+"
    r"\.[a-zA-Z][a-zA-Z0-9]{0,62}"
)
_RKEY = re.compile(r"[a-zA-Z0-9._:~-]{1,512}")
_CID = re.compile(r"b[a-z2-7]{20,120}")
_UNNAMEABLE = re.compile(r"[/\\@?#%]")


def _authority(text: str) -> str:
    """A DID, a handle in lower case, or ``local``."""
    if text.startswith("did:"):
        if len(text) <= 2048 and _DID.fullmatch(text) and not _dotted(text.split(":")):
            return text
        raise InvalidReference(f"{text!r:.80} is not a DID such as 'did:plc:abc123'")
    lower = text.lower()
    # lower() may turn other letters into ASCII ones
    if text.isascii() and (lower == LOCAL or (len(lower) <= 253 and _HANDLE.fullmatch(lower))):
        return lower
    if not text:
        raise InvalidReference("the owner is empty; it is 'local', a handle or a DID")
    what = "handles are ASCII (use the xn-- form)" if not text.isascii() else "it is no handle, no DID and not 'local'"
    raise InvalidReference(f"{text!r:.80} cannot own anything: {what}")


def _owner(text: str) -> str:
    """A DID or a handle: an owner on the network."""
    authority = _authority(text)
    if authority == LOCAL:
        raise InvalidReference("'local' is not on the network; an AT URI begins with a handle or a DID")
    return authority


def _dotted(parts: list[str]) -> bool:
    return any(part in (".", "..") for part in parts)


def _identifier(text: str) -> None:
    if not text.isidentifier() or len(text) > 256:
        raise InvalidReference(f"{text!r:.80} is not the name of a schema, which is that of a class")


@dataclass(frozen=True, slots=True)
class SchemaRef:
    """A schema: ``atdata://{authority}/sampleSchema/{name}@{version}``.

    Attributes:
        authority: ``local``, a handle or a DID.
        name: name of the sample type.
        version: its version; None stands for the highest.
    """

    authority: str
    name: str
    version: Version | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "authority", _authority(self.authority))
        _identifier(self.name)

    def at(self, version: Version | str) -> Self:
        """The reference to one version of the same schema."""
        return type(self)(self.authority, self.name, version if isinstance(version, Version) else _version(version))

    def __str__(self) -> str:
        text = f"atdata://{self.authority}/sampleSchema/{self.name}"
        return text if self.version is None else f"{text}@{self.version}"


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A dataset: ``@{authority}/{name}``.

    Attributes:
        authority: ``local``, a handle or a DID.
        name: its name in the index.
    """

    authority: str
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "authority", _authority(self.authority))
        name = self.name
        if not name or name != name.strip() or len(name) > 512 or name in (".", ".."):
            raise InvalidReference(
                f"{name!r:.80} cannot name a dataset in a reference: that takes 1 to 512 characters and no '..'"
            )
        if _UNNAMEABLE.search(name) or not name.isprintable():
            raise InvalidReference(
                f"{name!r:.80} cannot name a dataset in a reference: / \\ @ ? # % and invisible characters are not "
                "allowed there"
            )

    def __str__(self) -> str:
        return f"@{self.authority}/{self.name}"


@dataclass(frozen=True, slots=True)
class AtUri:
    """A record on the AT Protocol network: ``at://{authority}/{collection}/{rkey}``.

    Attributes:
        authority: handle or DID of the repository's owner.
        collection: NSID of the collection.
        rkey: key of the record in it.
    """

    authority: str
    collection: str
    rkey: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "authority", _owner(self.authority))
        if len(self.collection) > 317 or not _NSID.fullmatch(self.collection):
            raise InvalidReference(f"{self.collection!r:.80} is not a collection such as 'org.example.record'")
        if not _RKEY.fullmatch(self.rkey) or _dotted([self.rkey]):
            raise InvalidReference(f"{self.rkey!r:.80} is not a record key: letters, digits and . _ : ~ - only")

    @classmethod
    def parse(cls, uri: str) -> AtUri:
        """An AT URI from its text.

        Raises:
            InvalidReference: not the URI of a record; says why. A ``ValueError``.
        """
        found = parse(uri)
        if not isinstance(found, AtUri):
            raise InvalidReference(f"{uri!r:.120} is not the URI of a record: at://{{owner}}/{{collection}}/{{key}}")
        return found

    def __str__(self) -> str:
        return f"at://{self.authority}/{self.collection}/{self.rkey}"


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A blob on the AT Protocol network: ``at://{authority}/blob/{cid}``.

    Attributes:
        authority: handle or DID of the repository's owner.
        cid: the blob's CID.
    """

    authority: str
    cid: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "authority", _owner(self.authority))
        if not _CID.fullmatch(self.cid):
            raise InvalidReference(f"{self.cid!r:.80} is not a CID in base32")

    def __str__(self) -> str:
        return f"at://{self.authority}/blob/{self.cid}"


Reference: TypeAlias = SchemaRef | DatasetRef | AtUri | BlobRef


def parse(text: str) -> Reference:
    """A reference from its text.

    Raises:
        InvalidReference: not a reference; says which part is wrong and why. A ``ValueError``.

    Examples:
        >>> from atdata import uri
        >>> uri.parse("atdata://local/sampleSchema/Digit@1.0.0").name
        'Digit'
        >>> str(uri.parse("@Alice.example.org/digits"))
        '@alice.example.org/digits'
    """
    if not isinstance(text, str):
        raise InvalidReference(f"a reference is text; found {type(text).__name__}")
    if len(text) > _LONGEST:
        raise InvalidReference(f"{text!r:.40}... has {len(text):,} characters; no reference has more than {_LONGEST:,}")
    if not text.isprintable():
        raise InvalidReference(f"{text!r:.120} has control or invisible characters; take them out")
    try:
        return _parse(text)
    except InvalidReference as error:
        raise InvalidReference(f"{text!r:.120} is not a reference: {error}") from None


def is_reference(text: str) -> bool:
    """Whether a text is meant as a reference, well-formed or not: paths and URLs of shards are not."""
    return text.startswith(("@", "at://", "atdata://", "local://"))


def _parse(text: str) -> Reference:
    scheme, colon, rest = text.partition("://")
    if text.startswith("@"):
        return DatasetRef(*_parts(text[1:], "@{owner}/{name}", 2))
    if not colon:
        raise InvalidReference("it begins with none of atdata://, at:// and @")
    if scheme == "atdata":
        authority, kind, named = _parts(rest, "atdata://{owner}/sampleSchema/{Name}@{version}", 3)
        if kind == "dataset":
            return DatasetRef(authority, named)
        if kind != "sampleSchema":
            raise InvalidReference(f"{kind!r:.80} is neither 'sampleSchema' nor 'dataset', which atdata:// names")
        return SchemaRef(authority, *_named(named))
    if scheme == "at":
        authority, collection, key = _parts(rest, "at://{owner}/{collection}/{key}", 3)
        return BlobRef(authority, key) if collection == "blob" else AtUri(authority, collection, key)
    if scheme == "local":
        return _legacy(rest)
    raise InvalidReference(f"{scheme!r:.80} is none of the schemes atdata, at and local")


def _parts(text: str, form: str, count: int) -> list[str]:
    parts = text.split("/")
    if len(parts) != count or not all(parts) or _dotted(parts):
        raise InvalidReference(f"it is not of the form {form}")
    return parts


def _named(text: str) -> tuple[str, Version | None]:
    name, at, version = text.partition("@")
    return name, _version(version) if at else None


def _version(text: str) -> Version:
    try:
        return Version.parse(text)
    except SchemaError as error:
        raise InvalidReference(f"{error}; without @ it is the highest version") from None


def _legacy(rest: str) -> SchemaRef:
    folder, named = _parts(rest, "local://schemas/{module.Class}@{version}", 2)
    if folder != "schemas":
        raise InvalidReference("it is not of the form local://schemas/{module.Class}@{version}")
    dotted, version = _named(named)
    *modules, name = dotted.split(".")
    for module in modules:
        if not module.isidentifier() and module not in ("<locals>", "<lambda>"):
            raise InvalidReference(f"{module!r:.80} is not the name of a module")
    ref = SchemaRef(LOCAL, name, version)
    warnings.warn(
        f"local://schemas/... is the older form of references; write {ref} instead", DeprecationWarning, stacklevel=4
    )
    return ref
