"""Pages, run as written in a process of their own, with the places and keys of the servers of these tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from atdata_local.s3.access import S3Access


def in_a_bucket(text: str, seaweedfs: S3Access) -> str:
    """A page with the address and the keys of a server."""
    for written, instead in {
        "http://localhost:9000": str(seaweedfs.endpoint),
        '"AWS_ACCESS_KEY_ID": "minioadmin"': f'"AWS_ACCESS_KEY_ID": "{seaweedfs.access_key}"',
        '"AWS_SECRET_ACCESS_KEY": "minioadmin"': f'"AWS_SECRET_ACCESS_KEY": "{seaweedfs.secret_key}"',
        "AWS_ACCESS_KEY_ID=minioadmin": f"AWS_ACCESS_KEY_ID={seaweedfs.access_key}",
        "AWS_SECRET_ACCESS_KEY=minioadmin": f"AWS_SECRET_ACCESS_KEY={seaweedfs.secret_key}",
    }.items():
        text = text.replace(written, instead)
    return text


def run(program: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run a page in a folder. Returns what it says on the channel of errors."""
    (folder / "page.py").write_text(program)
    given = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment}
    done = subprocess.run([sys.executable, "page.py"], cwd=folder, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr
