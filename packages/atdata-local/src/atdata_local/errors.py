"""What can go wrong between an index and the file or server that holds it.

Each class also inherits the builtin that a caller would reach for.
"""

from __future__ import annotations

from atdata.errors import AtdataError


class NoIndexURL(AtdataError, ValueError):
    """A URL is none of an index."""


class IndexUnreachable(AtdataError, ConnectionError):
    """The index's server does not answer, or its file cannot be opened."""


class IndexDenied(AtdataError, PermissionError):
    """The index's server refuses these credentials."""


class IndexReadOnly(AtdataError, PermissionError):
    """The index can be read and not written: a file without write permission, a replica, a server that cannot save."""


class IndexFull(AtdataError, OSError):
    """There is no room for another record: a full disk, or a server at its memory limit."""


class IndexBusy(AtdataError, TimeoutError):
    """Other writers held the index for too long."""


class IndexCorrupted(AtdataError, ValueError):
    """What is kept there is not an index, or is damaged, or was written by a newer release."""
