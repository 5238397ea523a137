"""A web server of a folder."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

from .serving import Server


class Handler(SimpleHTTPRequestHandler):
    """One request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Keep it in mind."""
        self.server.requests.append(self.path)  # type: ignore[attr-defined]


class Files(Server):
    """Serves the files of a folder.

    Attributes:
        requests: the paths that were asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        super().__init__(partial(Handler, directory=str(folder)))
