"""Locks that the operating system holds for a process, and takes back when it ends, however it ends.

A process id says nothing about a process in another container. These locks hold between containers, and between
machines if their file system supports it. On one that has no locks at all, an owner counts as alive for a day.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_DAY = 24 * 3600  # seconds


class Lock:
    """A lock on a file, held until `release` or the end of the process.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def note(self, text: str) -> None:
        """Write a text into the file, for those who cannot have the lock."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def release(self) -> None:
        """Remove the file, and release the lock."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        with suppress(OSError):
            os.close(self._descriptor)


def lock(path: Path) -> Lock | None:
    """Take a lock.

    Args:
        path: its file, created if it does not exist.

    Returns:
        The lock; None if another process, or another part of this one, has it.

    Raises:
        OSError: the file cannot be opened.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if _flock(descriptor) is False:
                os.close(descriptor)
                return None
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return Lock(path, descriptor)
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder removed the file meanwhile


def _flock(descriptor: int) -> bool | None:
    """Take the lock of an open file; return whether it was free, None if the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return True


def is_held(path: Path) -> bool:
    """Whether somebody has the lock of a file that exists; true if nobody can know."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return path.exists()
    try:
        free = _flock(descriptor)
        return time.time() - os.fstat(descriptor).st_mtime < _DAY if free is None else not free
    except OSError:
        return True
    finally:
        os.close(descriptor)


class Owners:
    """The processes that own something in a folder: each holds the lock of a file there as long as it lives.

    Args:
        folder: the folder of these files; it is created when this process first needs a name.
    """

    _held: dict[tuple[Path, int], Lock] = {}  # noqa: RUF012 - shared on purpose: one name for a process

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    @property
    def me(self) -> str:
        """The name of this process, of letters and digits.

        Raises:
            OSError: the folder cannot be written.
        """
        known = (self._folder, os.getpid())  # a fork is a process of its own
        held = self._held.get(known)
        if held is None or not held.path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            for each in self._folder.iterdir():
                self.lives(each.name)
            while (held := lock(self._folder / uuid.uuid4().hex)) is None:  # another process is just looking at it
                pass
            self._held[known] = held
            atexit.register(self.leave)
        return held.path.name

    def lives(self, owner: str) -> bool:
        """Whether the process of this name still lives; the file of one that does not is removed."""
        path = self._folder / owner
        held = self._held.get((self._folder, os.getpid()))
        if held is not None and held.path == path:
            return True
        if not owner.isalnum() or not path.is_file():
            return False
        if is_held(path):
            return True
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return False

    def leave(self) -> None:
        """Give the name of this process back."""
        held = self._held.pop((self._folder, os.getpid()), None)
        if held is not None:
            held.release()
