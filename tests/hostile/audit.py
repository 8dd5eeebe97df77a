"""What Python code of this process opens, imports, runs and connects to: Python's own audit events say it.

What libraries do in C is not among them; `test_connections` has the kernel say that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Events whose first argument, or first two, are paths: those that follow a link at the end, and those that do not.
_FOLLOWING = {
    "open": 1, "os.listdir": 1, "os.scandir": 1, "os.chmod": 1, "os.truncate": 1, "shutil.copyfile": 2,
    "shutil.copytree": 2,
}  # fmt: skip
_NOT_FOLLOWING = {"os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2}
_PATHS = _FOLLOWING | _NOT_FOLLOWING
_RUNS = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen", "ctypes.dlopen")
_CONNECTS = ("socket.connect", "socket.getaddrinfo", "socket.sendto")


class Record:
    """What happened.

    Attributes:
        paths: each path that was opened, listed, made, changed or removed, as it was given, and where it really is.
        ran: each program that was started, and each library that was loaded.
        connected: each address.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.ran: list[str] = []
        self.connected: list[str] = []

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Keep what an event says."""
        if event in _RUNS:
            self.ran.append(f"{event} {arguments[0]}")
        elif event in _CONNECTS:
            self.connected.append(f"{event} {arguments[1:]}")
        for each in arguments[: _PATHS.get(event, 0)]:
            if isinstance(each, str | bytes | os.PathLike):
                path = Path(os.fsdecode(each))
                real = path.resolve() if event in _FOLLOWING else path.parent.resolve() / path.name
                self.paths |= {str(Path.cwd() / path), str(real)}

    def below(self, folder: Path) -> list[str]:
        """Return the paths that are in a folder, or are the folder."""
        root = str(folder.resolve())
        return sorted(path for path in self.paths if path == root or path.startswith(root + os.sep))


_records: list[Record] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _records and (event in _PATHS or event in _RUNS or event in _CONNECTS):
        record = _records.pop()  # what the hook itself does is not recorded
        try:
            record.note(event, arguments)
        finally:
            _records.append(record)


sys.addaudithook(_hook)


@contextmanager
def recorded() -> Iterator[Record]:
    """Yield a record of what happens in the body."""
    record = Record()
    _records.append(record)
    try:
        yield record
    finally:
        _records.remove(record)
