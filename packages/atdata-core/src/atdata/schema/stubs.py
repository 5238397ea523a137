"""Modules that let editors and type checkers see the types of schemas.

    <folder>/local/Digit_1_0_0.py        from local.Digit_1_0_0 import Digit

To a type checker the module defines the class with all of its fields; to Python it names the type that ``type_of``
makes of the record. So nothing in these files needs to be believed: what atdata returns never comes from them.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SchemaError
from ..sample import PackableSample
from .check import check_name, check_record
from .defaults import default_of
from .kinds import DTYPES, is_declared, kind_of
from .types import essence, shape_of, type_of
from .version import Version

_MARK = "# Made by atdata from a schema; changes are lost."


def import_path(record: Mapping[str, Any], *, package: str = "local") -> str:
    """What to import a schema's type from, once its stub is written: ``local.Digit_1_0_0``.

    Raises:
        SchemaError: not a schema record, or ``package`` is not a name.
    """
    check_record(record)
    check_name(package, "the name of a package")
    version = Version.parse(record["version"])
    parts = [record["name"], version.major, version.minor, version.patch]
    if version.prerelease or version.build:
        # 1.0.0-rc.1 and 1.0.0-rc-1 are two versions
        parts.append(hashlib.sha256(str(version).encode()).hexdigest()[:8])
    return f"{package}.{'_'.join(map(str, parts))}"


def write_stub(record: Mapping[str, Any], folder: str | os.PathLike[str], *, package: str = "local") -> Path:
    """Write the module of a schema, unless it is there already. It appears whole or not at all.

    Args:
        record: the schema record.
        folder: where type checkers look for modules, ``extraPaths`` in their settings; made if it does not exist.
        package: the folder in it that the module goes to.

    Returns:
        The path of the module.

    Raises:
        SchemaError: not a schema record, or one whose module would lie outside of ``folder``.
        OSError: the folder cannot be written.
    """
    module = import_path(record, package=package)
    path = Path(folder, *module.split(".")).with_suffix(".py")
    if path.parent.is_symlink():
        raise SchemaError(f"{path.parent} leads to another place; remove it")
    data = stub_text(record).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not _holds(path, data):
        _replace(path, data)
    return path


def load_stub(
    record: Mapping[str, Any], folder: str | os.PathLike[str], *, package: str = "local"
) -> type[PackableSample]:
    """The type of a schema, whose module is written. It is the class that importing the module gives.

    The module itself is not imported, so whoever can write into the folder cannot run anything here.

    Raises:
        SchemaError: not a schema record, or one whose module would lie outside of ``folder``.
        OSError: the folder cannot be written.
    """
    write_stub(record, folder, package=package)
    return type_of(record)


def clear_stubs(folder: str | os.PathLike[str]) -> int:
    """Remove all modules that ``write_stub`` wrote, and the folders that are empty then.

    Returns:
        How many modules were removed.
    """
    removed = 0
    for path in [*Path(folder).glob("*/*.py")]:
        if path.parent.is_symlink() or not _is_ours(path):
            continue
        path.unlink(missing_ok=True)
        removed += 1
        for cached in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            cached.unlink(missing_ok=True)
        for parent in (path.parent / "__pycache__", path.parent):
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
    return removed


def _is_ours(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(_MARK)) == _MARK.encode()
    except OSError:
        return False


def _holds(path: Path, data: bytes) -> bool:
    try:
        return not path.is_symlink() and path.read_bytes() == data
    except OSError:
        return False


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


# ------------------------------------------------------------------------------------------------ text


def stub_text(record: Mapping[str, Any]) -> str:
    """The module of a schema. Every name in it is checked and every text quoted.

    Raises:
        SchemaError: not a schema record.
    """
    check_record(record)
    own = essence(record)
    say = _Names({own["name"], *(field["name"] for field in own["fields"])})
    required = ["default" not in field and not field["optional"] for field in own["fields"]]
    by_name = "" if required == sorted(required, reverse=True) else "(kw_only=True)"
    definition = [
        f"@{say('dataclass')}{by_name}",
        f"class {own['name']}({say('PackableSample')}):",
        *_indented(_quoted(own.get("description") or f"{own['name']} {own['version']}")),
        "",
        *_indented([line for field in own["fields"] for line in _field_lines(field, say)]),
        "",
    ]
    made = [
        f"from atdata.schema import type_of{say.alias('type_of')}",
        "",
        f"{own['name']} = {say('type_of')}(",
        "    {",
        *(f"        {key!r}: {value!r}," for key, value in own.items() if key != "fields"),
        "        'fields': [",
        *(f"            {field!r}," for field in own["fields"]),
        "        ],",
        "    }",
        ")",
    ]
    typing = say("typing")
    lines = [
        _MARK,
        "from __future__ import annotations",
        "",
        "import typing" + say.alias("typing"),
        "",
        f"if {typing}.TYPE_CHECKING:",
        *_indented([*say.imports(), "", *definition]),
        "else:",
        *_indented(made),
    ]
    return "\n".join(lines) + "\n"


_MODULES = {"np": "numpy", "typing": "typing"}
_IMPORTED = {
    **dict.fromkeys(("bool", "bytes", "float", "int", "list", "str"), "builtins"),
    **dict.fromkeys(("Annotated", "Any"), "typing"),
    **dict.fromkeys(("dataclass", "field"), "dataclasses"),
    "NDArray": "numpy.typing",
    "PackableSample": "atdata",
    "Shape": "atdata.schema",
    "type_of": "atdata.schema",
}


class _Names:
    """The names that a module needs, said so that none is also that of the class or of a field.

    Args:
        taken: names of the class and of its fields.
    """

    def __init__(self, taken: set[str]) -> None:
        self._suffix = ""
        while any(name + self._suffix in taken for name in (*_MODULES, *_IMPORTED)):
            self._suffix += "_"
        self._said: set[str] = set()

    def __call__(self, name: str) -> str:
        self._said.add(name)
        return name + self._suffix

    def alias(self, name: str) -> str:
        """What the import of a name needs behind it."""
        return f" as {name}{self._suffix}" if self._suffix or name == "np" else ""

    def imports(self) -> list[str]:
        """The lines that import what a definition says."""
        said = sorted(self._said - {"typing", "type_of"})
        modules = [f"import {_MODULES[name]}{self.alias(name)}" for name in said if name in _MODULES]
        return modules + [
            f"from {_IMPORTED[name]} import {name}{self.alias(name)}"
            for name in said
            if name in _IMPORTED and (self._suffix or _IMPORTED[name] != "builtins")
        ]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines]


def _field_lines(field: Mapping[str, Any], say: _Names) -> list[str]:
    hint = _hint(field["fieldType"], say) + (" | None" if field["optional"] else "")
    value = ""
    if "default" in field:
        value = f" = {_default(field, say)}"
    elif field["optional"]:
        value = " = None"
    described = _quoted(field["description"]) if field.get("description") else []
    return [f"{field['name']}: {hint}{value}", *described]


def _hint(field_type: Mapping[str, Any], say: _Names) -> str:
    kind = kind_of(field_type)
    if kind == "array":
        return f"{say('list')}[{_hint(field_type['items'], say)}]"
    if kind == "primitive":
        return say(field_type["primitive"])
    scalar = f"{say('np')}.{DTYPES[field_type['dtype']].__name__}" if is_declared(field_type) else say("Any")
    array = f"{say('NDArray')}[{scalar}]"
    shape = shape_of(field_type)
    return array if shape is None else f"{say('Annotated')}[{array}, {repr(shape).replace('Shape', say('Shape'), 1)}]"


def _default(field: Mapping[str, Any], say: _Names) -> str:
    value = default_of(field)
    if not isinstance(value, list):
        return _literal(value, say)
    made = f"lambda: {_literal(value, say)}" if value else _hint(field["fieldType"], say)
    return f"{say('field')}(default_factory={made})"


def _literal(value: Any, say: _Names) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_literal(item, say) for item in value)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{say('float')}({str(value)!r})"
    return repr(value)


def _quoted(text: str) -> list[str]:
    """The lines of a docstring: as a person would write it where that is safe, else with everything escaped."""
    plain = all(line.isprintable() for line in text.split("\n")) and not text.endswith(('"', "\\", "\n"))
    if not plain or "\\" in text or '"""' in text:
        return [repr(text)]
    return f'"""{text}"""'.split("\n")
