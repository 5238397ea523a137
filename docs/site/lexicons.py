"""The lexicons as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LEXICONS = Path(__file__).resolve().parents[2] / "lexicons"


def _anchor(ref: str) -> str:
    return ref.replace(".", "").replace("#", "-").lower()


def _type(spec: dict[str, Any], lexicon: str) -> str:
    """What a field may hold, in a few words, with links to what it names."""

    def link(ref: str) -> str:
        whole = f"{lexicon}{ref}" if ref.startswith("#") else ref
        return f"[`{ref.rpartition('.')[2]}`](#{_anchor(whole)})" if "foundation.dataset" in whole else f"`{whole}`"

    limits = {"minLength": "at least", "maxLength": "at most", "minimum": "from", "maximum": "to"}
    unit = {"string": " bytes", "array": " items"}.get(spec["type"], "")
    told = [f"{words} {spec[key]:,}{unit if 'Length' in key else ''}" for key, words in limits.items() if key in spec]
    if "maxGraphemes" in spec:
        told.append(f"at most {spec['maxGraphemes']:,} characters")
    if spec["type"] == "array":
        name = f"list of {_type(spec['items'], lexicon)}"
    elif spec["type"] == "union":
        name = " or ".join(map(link, spec["refs"]))
    else:
        name = link(spec["ref"]) if spec["type"] == "ref" else spec.get("format", spec["type"])
    values = spec.get("knownValues") or spec.get("enum") or []
    told += [f"such as {', '.join(f'`{value}`' for value in values)}"] if values else []
    return "; ".join([name, *told])


def _definition(lexicon: str, name: str, spec: dict[str, Any]) -> Iterator[str]:
    whole = lexicon if name == "main" else f"{lexicon}#{name}"
    yield f"{'##' if name == 'main' else '###'} `{whole}` {{: #{_anchor(whole)} }}"
    kind = f"A record, whose key is {spec['key']}." if spec["type"] == "record" else ""
    yield " ".join(filter(None, [spec.get("description", ""), kind]))
    body = spec.get("record", spec)
    if fields := body.get("properties"):
        rows = ["| field | type | |", "|---|---|---|"]
        for field, inner in fields.items():
            needed = "" if field in body.get("required", []) else ", optional"
            rows.append(f"| `{field}`{needed} | {_type(inner, lexicon)} | {inner.get('description', '')} |")
        yield "\n".join(rows)
    elif spec["type"] not in ("record", "object"):
        yield _type(spec, lexicon)


def page() -> str:
    """All lexicons, behind what their README says of them."""
    readme = (LEXICONS / "README.md").read_text(encoding="utf-8")
    parts = [re.sub(r"\[([^]]+)\]\(tools\)", r"\1", readme)]  # a folder that the site does not have
    for path in sorted(LEXICONS.glob("ac/**/*.json")):
        lexicon = json.loads(path.read_text(encoding="utf-8"))
        for name, spec in lexicon["defs"].items():
            parts += _definition(lexicon["id"], name, spec)
    return "\n\n".join(parts) + "\n"
