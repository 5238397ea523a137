"""Finding shards: what a path, a folder or a pattern stands for. Nothing of a shard is read."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from .errors import (
    ManifestError,
    ShardCorrupted,
    ShardNotFound,
    ShardPermissionError,
    ShardUnreadable,
    UnlistableURL,
    UnsafeURL,
)
from .manifest import NAME, Manifest, ShardFacts, parse_manifest, read_manifest
from .manifest.sidecar import sidecar_name
from .sources import public, shard_ids
from .sources.url import Location, URLSource, local_path, parts_of, scheme_of

_SUFFIX = ".tar"
_MAX_MANIFEST = 64 << 20
# So many names show what a folder holds
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A shard that was found.

    Attributes:
        shard: its path, if it is a file of this machine, else its URL.
        place: what may tell its split: its folders, as far as they were searched, and its name.
        remote: the manifest that named it, if that was fetched from elsewhere.
        facts: what that manifest says of it.
        sha256: what the index that named it says that it is, in hex.
    """

    shard: Path | str
    place: str
    remote: Manifest | None = None
    facts: ShardFacts | None = None
    sha256: str | None = None


def find(where: Location, base: Location = "") -> list[Found]:
    """The shards that a path, URL or pattern stands for.

    Args:
        where: text with brace patterns, ``::`` and globs (``*``, ``?``, ``[...]``, ``**``), or a ``pathlib.Path``,
            which is taken letter by letter. A folder stands for all ``.tar`` files in and below it, and so does a
            glob for those that it matches; what is hidden is left out, and a folder that links lead to twice is
            searched once. A ``manifest.json`` stands for the shards that it names.
        base: the folder or URL that a relative path is relative to.

    Returns:
        Each shard once: those of a folder, glob or manifest in natural order (``a-2`` before ``a-10``), all others as
        they were given.

    Raises:
        ShardNotFound: there is nothing, or not all of what is named one by one.
        ShardCorrupted: a table or an array, by its name, and no tar.
        ManifestError: a ``manifest.json`` that is damaged or not ours.
        UnlistableURL: a folder or glob at a place that cannot be listed.
        UnsafeURL: a ``pipe:`` URL, or a brace pattern for over a million URLs.
        ValueError: an empty text, or braces that are not balanced.
    """
    root = local_path(base) or base if isinstance(base, str) else Path(base)
    if not isinstance(where, str):
        found = _find(os.fspath(where), root) if isinstance(root, str) else _at(root / where)
    elif where and isinstance(root, Path) and not scheme_of(where) and os.path.lexists(root / where):
        found = _at(root / where)
    else:
        found = [shard for text in URLSource(where).list_shards() for shard in _find(text, root)]
    return list({str(shard.shard): shard for shard in found}.values())


def _find(text: str, root: Path | str) -> list[Found]:
    path = local_path(text)
    if path is None:
        return _find_remote(text)
    if isinstance(root, Path):
        return _glob(root, path) if has_magic(str(path)) and not os.path.lexists(root / path) else _at(root / path)
    return _find(str(path), Path()) if path.is_absolute() else _find_remote(f"{root.rstrip('/')}/{text}")


def _at(path: Path) -> list[Found]:
    mode = _mode(path)
    if mode is None:
        advice = "; for a pattern give text, not a Path" if has_magic(str(path)) else ""
        raise _nothing(f"no shard at {path!s:.300}", path.parent, advice)
    if stat.S_ISDIR(mode):
        return _search(path, ["**", f"*{_SUFFIX}"])
    if path.name == NAME:
        return _listed_in(path)
    if path.suffix not in (_SUFFIX, ""):
        _refuse_table(path)
    return [Found(path, f"{path.parent.name}/{path.name}")]


def _refuse_table(path: Path) -> None:
    from .ingest.formats import SUFFIXES

    if path.suffix.lower() in SUFFIXES:
        raise ShardCorrupted(f"{path} is no tar; atdata.ingest and, in a shell, atdata write make shards of its rows")


def _mode(path: Path) -> int | None:
    try:
        return os.stat(path).st_mode
    except PermissionError as error:
        raise ShardPermissionError(f"{path} may not be read by this user") from error
    except (OSError, ValueError):
        return None  # there is none, or no file can have such a name


def _glob(root: Path, path: Path) -> list[Found]:
    first = next(number for number, part in enumerate(path.parts) if has_magic(part))
    return _search(root.joinpath(*path.parts[:first]), path.parts[first:])


def _search(folder: Path, pattern: Sequence[str]) -> list[Found]:
    """The shards below a folder whose relative paths a glob matches."""
    depth = None if "**" in pattern else len(pattern)
    walked = _walk(folder, depth) if _mode(folder) is not None else ()
    places = [parts for parts in walked if parts[-1].endswith(_SUFFIX) and _matches(parts, pattern)]
    if not places:
        raise _nothing(f"no {_SUFFIX} files match {folder.joinpath(*pattern)!s:.300}", folder)
    return [
        Found(folder.joinpath(*parts), "/".join((folder.name, *parts))) for parts in sorted(places, key=natural_order)
    ]


def _walk(top: Path, depth: int | None) -> Iterator[tuple[str, ...]]:
    """Relative paths of what is in and below a folder and is no folder itself; at most ``depth`` names each."""
    seen: set[tuple[int, int]] = set()
    _unseen(str(top), seen)
    for folder, folders, names in os.walk(top, onerror=_refuse, followlinks=True):
        below = Path(folder).relative_to(top).parts
        deeper = natural(_visible(folders)) if depth is None or len(below) + 1 < depth else []
        folders[:] = [name for name in deeper if _unseen(os.path.join(folder, name), seen)]
        yield from ((*below, name) for name in _visible(names))


def _visible(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(".")]


def _unseen(folder: str, seen: set[tuple[int, int]]) -> bool:
    """Whether a folder is not among those seen; now it is."""
    try:
        facts = os.stat(folder)
    except FileNotFoundError:
        return False  # gone since it was listed
    before = len(seen)
    seen.add((facts.st_dev, facts.st_ino))
    return len(seen) > before


def _refuse(error: OSError) -> None:
    if isinstance(error, PermissionError):
        raise ShardPermissionError(f"the folder {error.filename} may not be listed by this user") from error
    # gone since it was listed, or a file
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise ShardUnreadable(f"the folder {error.filename} cannot be listed: {error.strerror}") from error


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or (bool(parts) and _matches(parts[1:], pattern))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def natural_order(parts: Iterable[str]) -> list[tuple[list[str | int], str]]:
    """A key that sorts names as people do: numbers in them by their value."""
    pieces = [(re.split("([0-9]+)", part), part) for part in parts]
    return [([int(piece) if n % 2 else piece for n, piece in enumerate(split)], part) for split, part in pieces]


def natural(names: Iterable[str]) -> list[str]:
    """Names in natural order."""
    return sorted(names, key=lambda name: natural_order([name]))


def _nothing(what: str, folder: Path, advice: str = "") -> ShardNotFound:
    """The error for a search in vain: what was sought, where, and what is there instead."""
    if folder.parts[:1] == ("~",):
        advice = "; only shells know '~': pass os.path.expanduser(path)"
    while not os.path.isdir(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        names = natural(name for name in _visible(os.listdir(folder)) if not name.endswith(sidecar_name(_SUFFIX)))
    except OSError as error:
        return ShardNotFound(f"{what}; {folder} cannot be listed: {error.strerror}{advice}")
    shown = ", ".join(f"{name:.80}" for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ShardNotFound(f"{what}; in {folder.absolute()} there is {shown or 'nothing'}{more}{advice}")


def _listed_in(path: Path) -> list[Found]:
    manifest = read_manifest(path.parent)
    if manifest is None:
        raise ManifestError(f"{path} is not an atdata manifest")
    paths = [path.parent / name for name in _names(manifest, str(path))]
    missing = [shard.name for shard in paths if _mode(shard) is None]
    if missing:
        also = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise _nothing(f"{path} names {missing[0]}{also}, and that is not there", path.parent)
    return [Found(shard, f"{path.parent.name}/{shard.name}") for shard in paths]


def _names(manifest: Manifest, where: str) -> list[str]:
    if not manifest.shards:
        raise ShardNotFound(f"{where} names no shards")
    return natural(manifest.shards)


# ------------------------------------------------------------------------------------------------ elsewhere


def _find_remote(url: str) -> list[Found]:
    bare = url.partition("#")[0].partition("?")[0]
    path = bare.partition("://")[2].partition("/")[2]
    if path.endswith("/") or "*" in path or not path:
        return _list_remote(url, bare)
    if path.rpartition("/")[2] == NAME:
        return _fetched(url, bare.rpartition("/")[0])
    return [Found(url, place_of(url))]


def place_of(url: str) -> str:
    """What may tell the split of a shard that is named by its path or URL: its folder, and its name."""
    scheme = scheme_of(url)
    if scheme == "at":
        return ""  # a CID is no name: what looks like a word in it is chance
    path = local_path(url) if scheme in ("", "file") else None
    if path is not None:
        return f"{path.parent.name}/{path.name}"
    # neither the host nor a query
    inside = url.partition("#")[0].partition("?")[0].partition("://")[2].partition("/")[2]
    folders, _, name = unquote(inside).rpartition("/")
    return f"{folders.rpartition('/')[2]}/{name}"


def _list_remote(url: str, bare: str) -> list[Found]:
    """Ask the source of a scheme which shards there are: given a glob, it lists what matches."""
    scheme = scheme_of(url)
    if scheme in ("http", "https"):
        _unlistable(url, bare)
    pattern = url if "*" in bare else f"{bare.rstrip('/')}/**/*{_SUFFIX}"
    listed = _matching(pattern, scheme)
    if pattern in listed:
        _unlistable(url, bare)
    if not listed:
        raise ShardNotFound(f"no {_SUFFIX} files match {public(pattern)}")
    fixed = pattern[: pattern.index("*")].rpartition("/")[0].rpartition("/")[0]
    return [Found(shard, unquote(shard.removeprefix(fixed).lstrip("/"))) for shard in natural(listed)]


def _matching(pattern: str, scheme: str) -> list[str]:
    from . import plugins
    from .sources import filesystems

    try:
        make: Any = plugins.get("atdata.sources", scheme)
    except plugins.PluginNotFound as missing:
        connect, advice = filesystems.connector(pattern, scheme)
        if connect is None:
            raise plugins.PluginNotFound(f"{missing}{advice}") from None
        return filesystems.matching(pattern)
    return shard_ids(make([pattern]))


def _unlistable(url: str, bare: str) -> NoReturn:
    manifest = f"{bare[: bare.rindex('/')] if '*' in bare else bare.rstrip('/')}/{NAME}"
    raise UnlistableURL(
        f"{public(url)!r} names no shards: what is there cannot be listed over {scheme_of(url)}. Give its manifest, "
        f"{public(manifest)!r}, or the shards themselves, as in 'data-{{000..009}}.tar'"
    )


def _fetched(url: str, folder: str) -> list[Found]:
    """The shards that a manifest elsewhere names. They are beside it, whatever it says."""
    where = public(url)
    source = URLSource(exact(url))
    with source.open_shard(source.list_shards()[0]) as stream:
        data = stream.read(_MAX_MANIFEST + 1)
    if len(data) > _MAX_MANIFEST:
        raise ManifestError(f"{where} is larger than {_MAX_MANIFEST >> 20} MiB, and so no manifest")
    manifest = parse_manifest(data, where)
    if manifest is None:
        raise ManifestError(f"{where} is not an atdata manifest")
    encoded = scheme_of(url) in ("http", "https")
    urls = {name: f"{folder}/{quote(name, safe='') if encoded else name}" for name in _names(manifest, where)}
    return [Found(url, place_of(url), manifest, manifest.shards[name]) for name, url in urls.items()]


def exact(url: str) -> str:
    """A URL such that it stands for itself only, not for a pattern or several.

    Raises:
        UnsafeURL: it cannot be written so; its scheme knows no percent-encoding.
    """
    if scheme_of(url) in ("http", "https"):
        return "%3A%3A".join(parts_of(url)).replace("{", "%7B").replace("}", "%7D")
    if any(mark in url for mark in "{}") or len(parts_of(url)) > 1:
        raise UnsafeURL(f"{public(url)!r:.200} holds braces or '::', which would stand for something else in a URL")
    return url
