"""The store: what was made once, in folders named by the digest of all that it was made from.

An entry appears whole or not at all: it is written beside its place and renamed. No lock is taken, so any number of
processes may use one store: two that make the same at once both do the work. An entry is checked each time it is used,
and made again if it does not hold. Entries that were not used for longest make room.

An entry is `<key>/<name>`, and its name is never used again: whoever is about to remove one removes no other. A process
marks the entries that it uses. Whoever removes one claims it, and then looks for marks; whoever uses one marks it, and
then looks for claims: one of the two sees the other.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bitpick.artifacts import files, marks
from bitpick.errors import RequestError

DEFAULT_LIMIT = "20 GB"
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_NOTE = "artifact.json"
_WRITTEN, _REMOVED = "partial-", "gone-"
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError)  # what a damaged note raises, whatever is in it
_TRIES = 50  # of putting an entry where others remove theirs


class NoRoom(Exception):  # noqa: N818 - whoever asked for the room says what for
    """The store may not have so much.

    Attributes:
        size: bytes asked for.
        limit: bytes that it may have.
        used: bytes that running commands use.
    """

    def __init__(self, size: int, limit: int, used: int = 0) -> None:
        super().__init__(f"no room for {size} bytes")
        self.size, self.limit, self.used = size, limit, used


@dataclass(frozen=True)
class Artifact:
    """An entry of the store.

    Attributes:
        folder: its files.
        value: what was noted beside them, plain JSON.
        digests: the SHA-256 of each file, by its path in the folder; None of a file that is too large to be hashed.
    """

    folder: Path
    value: Any
    digests: dict[str, str | None]


@dataclass(frozen=True)
class Usage:
    """How much is in a store.

    Attributes:
        folder: where it is.
        artifacts: how many entries there are.
        bytes: how much they take.
        limit: bytes that they may take.
    """

    folder: Path
    artifacts: int
    bytes: int
    limit: int


def cache_root() -> Path:
    """Where bitpick keeps what it can make again: `BITPICK_CACHE`, or the platform's cache folder."""
    import platformdirs

    named = os.environ.get("BITPICK_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("bitpick")


def limit() -> int:
    """How many bytes a store may take: `BITPICK_CACHE_LIMIT`, or 20 GB of 10^9 bytes.

    Raises:
        RequestError: the variable is no size.
    """
    text = os.environ.get("BITPICK_CACHE_LIMIT") or DEFAULT_LIMIT
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?b?)\s*", text.lower())
    unit = None if found is None else _UNITS.get(found[2] if found[2] in _UNITS else found[2] + "b")
    if found is None or unit is None:
        raise RequestError(f"BITPICK_CACHE_LIMIT is {text!r}, which is no size", expected="e.g. 500 MB or 20 GB")
    return int(float(found[1]) * unit)


def key_of(parts: Any) -> str:
    """The key of an entry: the SHA-256 of all that it depends on, as JSON can carry it."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Store:
    """Entries in a folder.

    Args:
        folder: where they are; it need not exist.
        limit: bytes that they may take together.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._since = self._most = limit // 100  # bytes that were added since they were last counted

    @classmethod
    def default(cls) -> Self:
        """The user's store: `BITPICK_STORE`, or `artifacts` in the cache.

        Raises:
            RequestError: `BITPICK_CACHE_LIMIT` is no size.
        """
        named = os.environ.get("BITPICK_STORE")
        return cls(Path(named) if named else cache_root() / "artifacts", limit())

    def get(self, key: str) -> Artifact | None:
        """The entry with this key, which nobody removes while this process lives; None if there is none that holds."""
        for folder in _folders(self.folder / key):
            new = False
            with suppress(*_BROKEN):
                new = marks.mark(folder)
                note = json.loads((folder / _NOTE).read_text())
                if not marks.claimed(folder) and files.hold(folder, note["files"]):
                    os.utime(folder)
                    return Artifact(
                        folder, note["value"], {name: told["sha256"] for name, told in note["files"].items()}
                    )
            if new:
                marks.unmark(folder)
        return None

    def make(self, key: str, make: Callable[[Path], Any], size: int = 0) -> Artifact:
        """The entry with this key: the one that is there, or a new one.

        Args:
            key: see `key_of`.
            make: writes files into the folder that it is given, and returns what to note beside them, as JSON.
            size: about how many bytes it will have, if that is known before.

        Raises:
            NoRoom: it cannot have so much.
            OSError: the store cannot be written.
        """
        found = self.get(key)
        if found is not None:
            return found
        self.make_room(size)
        with self.scratch() as partial:
            value = make(partial)
            return self.put(key, partial, value)

    def put(self, key: str, made: Path, value: Any) -> Artifact:
        """Move a folder from `scratch` into the store.

        Raises:
            NoRoom: the store may not have so much.
            OSError: the store cannot be written.
        """
        described = files.described(made)
        size = sum(told["bytes"] for told in described.values())
        self._since += size
        if self._since >= self._most:
            self.make_room(size)
        (made / _NOTE).write_text(json.dumps({"value": value, "files": described}))
        made.chmod(0o755)
        marks.mark(made)  # before anybody sees it, and removes it
        digests = {name: told["sha256"] for name, told in described.items()}
        folder = self.folder / key / f"{marks.owner()}-{time.monotonic_ns()}"
        for _ in range(_TRIES):
            if (found := self.get(key)) is not None:  # somebody was faster
                return found
            with suppress(FileNotFoundError, FileExistsError):  # the parent goes with the last entry in it
                folder.parent.mkdir(exist_ok=True)
                made.rename(folder)
                break
        else:
            raise OSError(f"the entry {folder} cannot be written")
        for other in _folders(folder.parent):  # they do not hold
            if other != folder:
                self._remove(other)
        return Artifact(folder, value, digests)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder on the disk of the store, gone at the end unless it was moved."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{_WRITTEN}{marks.owner()}-", dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def make_room(self, size: int) -> None:
        """Remove the entries that were not used for longest, until so many bytes fit.

        Raises:
            NoRoom: they do not fit, whatever goes.
        """
        if size > self.limit:
            raise NoRoom(size, self.limit)
        own = f"{_WRITTEN}{marks.owner()}-"  # what is being written is what room is made for
        entries = [each for each in self._entries() if not each.name.startswith(own)]
        sizes = {each: files.bytes_in(each) for each in entries}
        total = sum(sizes.values())
        for each in sorted(entries, key=_last_used):
            if total + size <= self.limit:
                break
            if self._remove(each):
                total -= sizes[each]
        self._since = 0
        if total + size > self.limit:
            raise NoRoom(size, self.limit, total)

    def usage(self) -> Usage:
        """How much there is."""
        entries = self._entries()
        whole = [each for each in entries if (each / _NOTE).exists()]
        return Usage(self.folder, len(whole), sum(map(files.bytes_in, entries)), self.limit)

    def clear(self) -> int:
        """Remove what no running command uses; returns how many bytes that was."""
        before = self.usage().bytes
        for each in self._entries():
            self._remove(each)
        return before - self.usage().bytes

    def _entries(self) -> list[Path]:
        """The folders of entries, and what processes that were killed left."""
        keys = _folders(self.folder)
        left = [each for each in keys if each.name.startswith((_WRITTEN, _REMOVED))]
        return left + [entry for key in keys if key not in left for entry in _folders(key)]

    def _remove(self, folder: Path) -> bool:
        """Remove an entry, unless a running command uses it."""
        if folder.parent == self.folder:
            if marks.lives(folder, folder.name.split("-")[1]):
                return False
            shutil.rmtree(folder, ignore_errors=True)
            return True
        gone = self.folder / f"{_REMOVED}{marks.owner()}-{time.monotonic_ns()}"
        with suppress(OSError):  # another process removes it too
            if not marks.marked(folder) and marks.claim(folder):
                folder.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)
                with suppress(OSError):
                    folder.parent.rmdir()
                return True
        return False


def _folders(place: Path) -> list[Path]:
    """The folders in a folder; none if there is none."""
    try:
        return sorted(each for each in place.iterdir() if each.is_dir())
    except OSError:
        return []


def _last_used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
