"""The temporary folder of this process, which is removed when it ends, however it ends.

It lies in the temporary folder of the system, and has a lock (`locks`), so that a later process finds what a killed one
left, and removes it. Workers have their temporary files in it, and so do the compilers that they start.
"""

from __future__ import annotations

import atexit
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bitpick.artifacts import durable
from bitpick.artifacts.locks import is_held, lock

_PREFIX = "bitpick-"
_LOGS = f"{_PREFIX}logs-"
_LOCK = ".lock"
_DAY = 24 * 3600  # seconds
_LOGS_KEPT = 7 * _DAY  # the logs of a command that failed
_roots: dict[int, Path] = {}
_kept: list[tuple[int, Path]] = []


def root() -> Path:
    """Return the temporary folder of this process.

    Raises:
        OSError: it cannot be made.
    """
    process = os.getpid()  # a fork is a process of its own
    if process not in _roots or not _roots[process].is_dir():
        _sweep(Path(tempfile.gettempdir()))
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock(folder / _LOCK)  # until the process ends
        _roots[process] = folder
        atexit.register(_end, process)
    return _roots[process]


def new_folder(name: str) -> Path:
    """Return a new folder in it.

    Raises:
        OSError: it cannot be made.
    """
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root()))


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """Yield a new folder in it, and remove that at the end.

    Raises:
        OSError: it cannot be made.
    """
    made = new_folder(name)
    try:
        yield made
    finally:
        durable.remove(made)


def keep(folder: Path) -> Path:
    """Keep a folder until the end of this process: move it to a name of its own beside it, and return that."""
    kept = folder.with_name(f"{folder.name}-kept")
    folder.rename(kept)
    _kept.append((os.getpid(), kept))
    atexit.register(_end, os.getpid())
    return kept


def new_logs() -> Path:
    """Return a new folder for logs that are kept beyond the end of this process, for a week."""
    return Path(tempfile.mkdtemp(prefix=_LOGS))


def _end(process: int) -> None:
    """Remove what this process has; a fork of it leaves that alone."""
    if process != os.getpid():
        return
    for folder in [kept for owner, kept in _kept if owner == process] + [_roots.pop(process, None)]:
        if folder is not None:
            durable.remove(folder)


def _sweep(place: Path) -> None:
    """Remove what processes of this user left that were killed, and old logs."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            stat = folder.lstat()
            age = time.time() - stat.st_mtime
            if stat.st_uid != os.getuid() or folder.is_symlink() or not folder.is_dir():
                continue
            if folder.name.startswith(_LOGS):
                dead = age > _LOGS_KEPT
            else:  # without a lock it has just been made, or was made by an earlier version
                dead = not is_held(folder / _LOCK) if (folder / _LOCK).exists() else age > _DAY
            if dead:
                durable.remove(folder)
