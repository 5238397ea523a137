"""Lenses, published and read. A record names code and never carries any: nothing here imports or runs it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from atdata import Lens
from atdata.uri import AtUri

from .client import AtmosphereClient
from .errors import AtmosphereWarning, InvalidRecord
from .kinds import ANY_SCHEMA, Dicts, Loader, check_beforehand, new_record
from .lookup import Pins
from .reading import at_uri
from .records import LENS

if TYPE_CHECKING:
    from .lexicon.models.ac.foundation.dataset.lens import Record as LensRecord

    _Loader = Loader[LensRecord]
else:
    _Loader = Loader


class LensPublisher:
    """Publishes lenses: which types they connect, and where their code is.

    Args:
        client: writes the records; it must be logged in.
    """

    def __init__(self, client: AtmosphereClient) -> None:
        self.client = client
        self._pin = Pins(client)

    def publish(
        self,
        name: str,
        source_schema_uri: str | AtUri | None = None,
        target_schema_uri: str | AtUri | None = None,
        description: str | None = None,
        code_repository: str | None = None,
        code_commit: str | None = None,
        getter_path: str | None = None,
        putter_path: str | None = None,
        rkey: str | None = None,
        *,
        source_schema: str | AtUri | None = None,
        target_schema: str | AtUri | None = None,
        getter_code: Mapping[str, str] | None = None,
        putter_code: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AtUri:
        """Publish a lens.

        Args:
            name: what people call it.
            source_schema_uri: AT URI of the schema that it looks at.
            target_schema_uri: AT URI of the schema that it shows.
            description: what it does.
            code_repository: URL of the repository with its code.
            code_commit: the commit, as its full hash.
            getter_path: where the getter is, such as ``package.module:function``.
            putter_path: where the putter is; without it the lens goes one way.
            rkey: key of the record; by default a new one that sorts by time.
            source_schema: the same as ``source_schema_uri``.
            target_schema: the same as ``target_schema_uri``.
            getter_code: ``repository``, ``commit`` and ``path`` of the getter, instead of the above.
            putter_code: those of the putter.
            metadata: JSON-like, bytes included.

        Returns:
            Where the record is.

        Raises:
            InvalidRecord: a schema is missing or given twice, or code is named by only some of repository, commit and
                path; a ``ValueError``.
            RecordNotFound: there is no such schema; a ``KeyError``.
            NotLoggedIn: there was no login; a ``ValueError``.
            AtmosphereError: as for ``AtmosphereClient.create_record``.
        """
        paths = {"getter": getter_path, "putter": putter_path}
        if (code_repository or code_commit) and not any(paths.values()):
            raise InvalidRecord("a repository with code is named, and no getter_path in it")
        given = {"getter": getter_code, "putter": putter_code}
        codes = {kind: _code(kind, given[kind], code_repository, code_commit, path) for kind, path in paths.items()}
        return self._publish(
            name,
            _one("source_schema", source_schema_uri, source_schema),
            _one("target_schema", target_schema_uri, target_schema),
            codes,
            {"description": description, "metadata": metadata},
            rkey,
        )

    def publish_from_lens(
        self,
        lens_obj: Lens[Any, Any],
        *,
        name: str | None = None,
        source_schema_uri: str | AtUri | None = None,
        target_schema_uri: str | AtUri | None = None,
        code_repository: str | None = None,
        code_commit: str | None = None,
        description: str | None = None,
        rkey: str | None = None,
        source_schema: str | AtUri | None = None,
        target_schema: str | AtUri | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AtUri:
        """Publish a lens by the names of its functions.

        Args:
            lens_obj: the lens.
            name: what people call it; by default the name of its getter.
            code_repository: URL of the repository with its code; without it, the code is named by its module only.
            code_commit: the commit, as its full hash.
            description: what it does; by default the docstring of its getter.
            source_schema_uri, target_schema_uri, rkey, source_schema, target_schema, metadata: as for ``publish``.

        Returns:
            Where the record is.

        Raises:
            InvalidRecord: the lens is a chain, which has no function of its own; or as for ``publish``.
            RecordNotFound, NotLoggedIn, AtmosphereError: as for ``publish``.
        """
        if lens_obj.parts != (lens_obj,):
            raise InvalidRecord(f"{lens_obj!r} is a chain; publish the lenses that it consists of")
        if bool(code_repository) != bool(code_commit):
            raise InvalidRecord("a repository without a commit, or a commit without its repository, names no code")
        functions = {"getter": lens_obj._get, "putter": lens_obj._put}
        codes = {
            kind: {
                **({"repository": code_repository, "commit": code_commit} if code_repository else {}),
                "path": _path(function),
            }
            for kind, function in functions.items()
            if function is not None
        }
        return self._publish(
            name or str(getattr(lens_obj, "__name__", "lens")),
            _one("source_schema", source_schema_uri, source_schema),
            _one("target_schema", target_schema_uri, target_schema),
            codes,
            {"description": description or lens_obj._get.__doc__, "metadata": metadata},
            rkey,
        )

    def _publish(
        self,
        name: str,
        source: str | AtUri,
        target: str | AtUri,
        codes: Mapping[str, Any],
        more: Mapping[str, Any],
        rkey: str | None,
    ) -> AtUri:
        def record(source: tuple[str, str | None], target: tuple[str, str | None]) -> dict[str, Any]:
            schemas = {
                "sourceSchema": source[0],
                "sourceSchemaCid": source[1],
                "targetSchema": target[0],
                "targetSchemaCid": target[1],
            }
            code = {"getterCode": codes.get("getter"), "putterCode": codes.get("putter")}
            return new_record(LENS, {"name": name, **schemas, **code, **more})

        check_beforehand(self.client, LENS, record(ANY_SCHEMA, ANY_SCHEMA), rkey)
        return self.client.create_record(LENS, record(self._pin(source), self._pin(target)), rkey=rkey)


def _one(name: str, *given: str | AtUri | None) -> str | AtUri:
    found = [uri for uri in given if uri is not None]
    if len(found) != 1:
        raise InvalidRecord(f"{name}_uri (or {name}) is needed, once: the AT URI of a schema")
    return found[0]


def _code(
    kind: str, given: Mapping[str, str] | None, repository: str | None, commit: str | None, path: str | None
) -> Mapping[str, str] | None:
    """A code reference; None if nothing is said of it."""
    if given is not None and path is not None:
        raise InvalidRecord(f"the {kind} is given twice: as {kind}_code and as {kind}_path")
    if given is None and path is None:
        return None
    code = dict(given) if given is not None else {"repository": repository, "commit": commit, "path": path}
    missing = [part for part in ("repository", "commit", "path") if not code.get(part)]
    unknown = code.keys() - {"repository", "commit", "path"}
    if missing or unknown:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(sorted(unknown))}, which is none of it"
        raise InvalidRecord(f"the code of the {kind} is named by repository, commit and path; it {wrong}")
    return {part: str(value) for part, value in code.items()}


def _path(function: Callable[..., Any]) -> str:
    module, name = function.__module__, function.__qualname__
    if module == "__main__" or "<" in name:
        warnings.warn(
            f"{module}:{name} is a function that others cannot import; define it at the top of a module",
            AtmosphereWarning,
            stacklevel=4,
        )
    return f"{module}:{name}"


class LensLoader(_Loader):
    """Reads lenses from anybody's repository. To use one, read its code, install it and import it yourself."""

    collection = LENS

    def find_by_schemas(
        self,
        source_schema_uri: str | AtUri,
        target_schema_uri: str | AtUri | None = None,
        repo: str | None = None,
    ) -> Dicts:
        """The lenses of a repository that lead from one schema to another.

        Args:
            source_schema_uri: AT URI of the schema that they look at.
            target_schema_uri: AT URI of the schema that they show; by default any.
            repo: DID or handle of the lenses' owner; by default the account's own.

        Raises:
            NotLoggedIn, AtmosphereError: as for ``list_all``.
        """
        source, target = self._spellings(source_schema_uri), self._spellings(target_schema_uri)
        return [
            record
            for record in self.iter_all(repo)
            if record["sourceSchema"] in source and (not target or record["targetSchema"] in target)
        ]

    def _spellings(self, uri: str | AtUri | None) -> set[str]:
        """A URI as it was given, and as publishers write it: by the owner's DID."""
        if uri is None:
            return set()
        where = at_uri(uri)
        did = self.client.resolve(where.authority).did
        return {str(where), str(AtUri(did, where.collection, where.rkey))}
