"""The record types and the package data that are made from the lexicons.

``python lexicon_types.py`` fails where they are not what the lexicons say; with ``--write`` it makes them so.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LEXICONS = Path(__file__).parents[1]
PACKAGE = LEXICONS.parent / "packages" / "atdata-atmosphere" / "src" / "atdata_atmosphere" / "lexicon"


def generate(folder: Path) -> None:
    """Make the package ``atdata_atmosphere.lexicon``."""
    subprocess.run(
        [
            *(Path(sys.executable).parent / "atp", "gen", "--lexicon-dir", LEXICONS / "ac"),
            *("custom", "--output-dir", folder, "--package", "atdata_atmosphere.lexicon", "--no-client"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    # calls to servers, of which there are none in these lexicons
    shutil.rmtree(folder / "namespaces")
    (folder / "subscriptions.py").unlink()
    shutil.copytree(LEXICONS / "ac", folder / "documents" / "ac")


def differences(made: Path, kept: Path) -> list[str]:
    """Files that are not the same in both folders."""
    files = {
        path.relative_to(folder)
        for folder in (made, kept)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    _, differ, missing = filecmp.cmpfiles(made, kept, sorted(map(str, files)), shallow=False)
    return sorted(differ + missing)


def main(write: bool) -> int:
    """Compare or write; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "lexicon")
        generate(made)
        found = differences(made, PACKAGE)
        if write:
            shutil.rmtree(PACKAGE, ignore_errors=True)
            shutil.copytree(made, PACKAGE)
    for name in found:
        print(f"{PACKAGE.name}/{name} {'is written anew' if write else 'is not what the lexicons say'}")
    if found and not write:
        print("run: nox -s lexicons -- --write")
    return int(bool(found) and not write)


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
