"""Files that appear whole or not at all, among racing processes."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import shutil
import sys
import tempfile
import weakref
from collections.abc import Generator
from pathlib import Path

from .errors import ShardExists

PREFIX = ".atdata-tmp-"
PARTIAL = ".atdata-partial"
_LOCK = "lock"

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int, *, wait: bool) -> None:
        msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

    def _sync_folder(folder: Path) -> None:
        """Windows has no such call; its file systems journal renames."""

else:
    import fcntl

    def _lock(fd: int, *, wait: bool) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    def _sync_folder(folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class Staging:
    """A hidden folder beside the final files, in which they are made.

    It is locked while its owner lives, so that another process can tell a dead owner's from one in use.

    Args:
        folder: where the files will finally be.
        resume: take over what an earlier one with ``resume`` has left, and stay when the owner is gone.

    Raises:
        ShardExists: with ``resume``, another process is at work here.
    """

    def __init__(self, folder: Path, *, resume: bool = False) -> None:
        self._final = folder
        self._folder = folder / (PARTIAL if resume else f"{PREFIX}{secrets.token_hex(8)}")
        with locked(folder / ".atdata.lock"):  # nobody sweeps while a folder is not locked yet
            _remove_stale(folder)
            self._folder.mkdir(exist_ok=resume)
            self._lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | (0 if resume else os.O_EXCL), 0o666)
            try:
                _lock(self._lock, wait=False)
            except OSError:
                os.close(self._lock)
                raise ShardExists(f"another process is at work in {folder}; wait until it is done") from None
        self._owner = os.getpid()
        self._end = weakref.finalize(self, _end, self._folder, self._lock, self._owner, remove=not resume)

    def create(self, name: str) -> int:
        """A new file that will be called ``name``, as a descriptor open for writing."""
        return os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def open(self, name: str) -> io.FileIO:
        """A file that was made here, for reading."""
        return open(self._folder / name, "rb", buffering=0)

    def has(self, name: str) -> bool:
        """Whether a file was made here and not published yet."""
        return (self._folder / name).exists()

    def path(self, name: str) -> Path:
        """Where a file is made."""
        return self._folder / name

    def publish(self, name: str, *, overwrite: bool, made_as: str | None = None) -> None:
        """Move a file, which is complete and synced, to its final name.

        Args:
            name: the final name.
            overwrite: whether it may be taken.
            made_as: its name here, if that is another.

        Raises:
            ShardExists: the final name is taken and may not be overwritten.
        """
        source, target = self._folder / (made_as or name), self._final / name
        if overwrite:
            os.replace(source, target)
            return
        try:
            # link() refuses a taken name in one step; rename() would replace a racing writer's file
            os.link(source, target)
        except FileExistsError:
            raise exists(target) from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
            if target.exists():  # a file system without hard links
                raise exists(target) from None
            os.rename(source, target)

    def sync(self) -> None:
        """Put the final names on disk."""
        _sync_folder(self._final)

    def discard(self) -> None:
        """Remove the folder and what was not published; also happens by itself when nobody refers to this any more."""
        if self._end.detach():
            _end(self._folder, self._lock, self._owner, remove=True)

    def release(self) -> None:
        """Leave the folder to the next one with ``resume``."""
        if self._end.detach():
            _end(self._folder, self._lock, self._owner, remove=False)


def _end(folder: Path, lock: int, owner: int, *, remove: bool) -> None:
    if remove and os.getpid() == owner:  # in a child made by fork the folder is still its parent's
        shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def exists(path: Path) -> ShardExists:
    """The error for a name that is taken."""
    return ShardExists(f"{path} exists; choose another path, or replace it: overwrite=True. In a shell: --overwrite")


def _remove_stale(folder: Path) -> None:
    """Remove what writers that died have left in a folder."""
    for path in folder.glob(f"{PREFIX}*/"):
        if is_stale(path):
            shutil.rmtree(path, ignore_errors=True)


def is_stale(path: Path) -> bool:
    """Whether the owner of a folder that a ``Staging`` made has died.

    One that was made this moment and is not locked yet looks so, too.
    """
    try:
        fd = os.open(path / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return True  # died before it could lock
    except OSError:
        return False  # not ours to judge
    try:
        _lock(fd, wait=False)
    except OSError:
        return False  # its owner lives
    finally:
        os.close(fd)
    return True


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file's content in one step, or not at all. Callers take turns; see ``locked``."""
    temporary = path.with_name(f"{PREFIX}{path.name}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold a lock among processes, on a file that is there only while somebody holds or wants it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(fd, wait=True)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), os.stat(path)):
                    break
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # its last holder removed it while we waited
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps open files
            os.unlink(path)
        os.close(fd)
