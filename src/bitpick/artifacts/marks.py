"""Which running commands use an entry of the store: each leaves a file there that names its process."""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

_MARK, _CLAIM = "used-by-", "removed-by-"
_FOREIGN = 24 * 3600  # seconds that a mark of another machine counts: nobody here knows whether its process lives


def mark(folder: Path) -> bool:
    """Note that this process uses an entry; returns whether that is new.

    Raises:
        OSError: there is no such entry.
    """
    own = folder / f"{_MARK}{owner()}"
    if own.exists():
        return False
    for each in folder.glob(f"{_MARK}*"):
        if not lives(each, each.name.removeprefix(_MARK)):
            each.unlink(missing_ok=True)
    own.touch()
    return True


def unmark(folder: Path) -> None:
    """Note that this process does not use an entry after all."""
    (folder / f"{_MARK}{owner()}").unlink(missing_ok=True)


def marked(folder: Path) -> bool:
    """Whether a running command uses an entry."""
    try:
        return any(lives(each, each.name.removeprefix(_MARK)) for each in folder.glob(f"{_MARK}*"))
    except OSError:  # it is gone
        return False


def claim(folder: Path) -> bool:
    """Say that this process is about to remove an entry; returns whether it may.

    A command that uses an entry marks it and then looks for claims; this claims it and then looks for marks. So one of
    the two sees the other, whatever comes first.

    Raises:
        OSError: there is no such entry.
    """
    own = folder / f"{_CLAIM}{owner()}"
    own.touch()
    if not marked(folder):
        return True
    own.unlink(missing_ok=True)
    return False


def claimed(folder: Path) -> bool:
    """Whether another process is about to remove an entry."""
    try:
        return any(lives(each, each.name.removeprefix(_CLAIM)) for each in folder.glob(f"{_CLAIM}*"))
    except OSError:  # it is gone, which whoever opens its files finds out
        return True


def owner() -> str:
    """This process, in the name of a file."""
    return f"{os.getpid()}@{_machine()}"


@cache
def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "_", socket.gethostname())


def lives(path: Path, owner: str) -> bool:
    """Whether the process that left a file lives.

    Args:
        path: the file.
        owner: see `owner`; one of another machine lives for a day.
    """
    import psutil

    number, _, machine = owner.partition("@")
    if machine != _machine():
        with suppress(OSError):
            return time.time() - path.stat().st_mtime < _FOREIGN
        return False
    return number.isdigit() and psutil.pid_exists(int(number))
