"""The store: results kept for reuse, in folders named by the digest of everything that they were made from.

An entry appears complete or not at all: it is written elsewhere, forced to the disk, then renamed. No process waits for
another, so any number of them can share a store; two that make the same entry at the same time both do the work. An
entry is checked each time it is used: its note has a digest, and the note has the digests of its files. One that does
not hold is removed and made again. The least recently used entries are removed to make room.

An entry is `<key>/<name>`, and a name is never reused, so a removal cannot hit another entry. A process marks the
entries that it uses, then looks for claims; to remove an entry, it claims it, then looks for marks. At least one of two
processes sees the other. Marks count while their process holds its lock (`locks`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bitpick.artifacts import durable, files, modes
from bitpick.artifacts.cache import cache_root, limit
from bitpick.artifacts.marks import OWNERS, Marks

_PARTIAL, _GONE = "partial-", "gone-"
_ATTEMPTS = 50  # attempts to move an entry into a folder that others may be removing
_added: dict[tuple[Path, int], int] = {}
"""Bytes that this process added to each store since it last measured it, which takes long if there are many entries."""


class NoRoom(Exception):  # noqa: N818 - the caller turns it into an error
    """The store has no room for an entry.

    Attributes:
        size: bytes requested.
        limit: bytes that the store may take.
        used: bytes that running commands use.
    """

    def __init__(self, size: int, limit: int, used: int = 0) -> None:
        super().__init__(f"no room for {size} bytes")
        self.size, self.limit, self.used = size, limit, used


@dataclass(frozen=True)
class Artifact:
    """An entry of the store.

    Attributes:
        folder: folder with its files.
        value: the value stored with them, plain JSON.
        digests: SHA-256 of each file, by path in the folder.
    """

    folder: Path
    value: Any
    digests: dict[str, str]


@dataclass(frozen=True)
class Usage:
    """The usage of a store.

    Attributes:
        folder: the store's folder.
        artifacts: number of entries.
        bytes: size of the entries.
        limit: bytes that they may take.
    """

    folder: Path
    artifacts: int
    bytes: int
    limit: int


def key_of(parts: Any) -> str:
    """Return the key of an entry: the SHA-256 of everything that it depends on, given as JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Store:
    """Entries in a folder.

    Args:
        folder: the store's folder; it need not exist.
        limit: bytes that all entries may take together.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._marks = Marks(folder)
        self._recount_after = limit // 100  # bytes

    @classmethod
    def default(cls) -> Self:
        """Return the user's store: `BITPICK_STORE`, or `artifacts` in the cache.

        Raises:
            RequestError: `BITPICK_CACHE_LIMIT` is not a size.
        """
        variable = os.environ.get("BITPICK_STORE")
        return cls(Path(variable) if variable else cache_root() / "artifacts", limit())

    def get(self, key: str) -> Artifact | None:
        """Return the intact entry with this key, or None. It is protected from removal while this process lives.

        Entries that do not hold are removed.
        """
        for folder in _folders(self.folder / key):
            with suppress(OSError):
                is_new = self._marks.mark(folder)
                note = None if self._marks.claimed(folder) else _intact_note(folder, key)
                if note is not None:
                    os.utime(folder)
                    return Artifact(folder, note["value"], _digests(note["files"]))
                if is_new:
                    self._marks.unmark(folder)
            self._remove(folder)
        return None

    def make(self, key: str, make: Callable[[Path], Any], size: int = 0) -> Artifact:
        """Return the entry with this key, making it if there is none.

        Args:
            key: see `key_of`.
            make: writes files into the given folder, and returns a value to store with them, as JSON.
            size: approximate size of a new entry in bytes, if known in advance.

        Raises:
            NoRoom: the entry does not fit in the store.
            OSError: the store cannot be written.
        """
        artifact = self.get(key)
        if artifact is not None:
            return artifact
        self._expect(size)
        with self.scratch() as partial:
            value = make(partial)
            return self.put(key, partial, value)

    def put(self, key: str, source: Path, value: Any) -> Artifact:
        """Move a folder from `scratch` into the store.

        Raises:
            NoRoom: the entry does not fit in the store.
            OSError: the store cannot be written.
        """
        contents = files.describe(source)
        size = sum(file["bytes"] for file in contents.values())
        self._expect(size)
        _added[self.folder, self.limit] += size
        note = {"key": key, "value": value, "files": contents}
        (source / files.NOTE).write_text(json.dumps(note | {"sha256": key_of(note)}))
        modes.share(source)
        durable.sync(source)
        self._marks.mark(source)  # before another process can see and remove it
        folder = self.folder / key / f"{self._marks.owners.me}-{time.monotonic_ns()}"
        for _ in range(_ATTEMPTS):
            if (artifact := self.get(key)) is not None:  # another process was faster
                return artifact
            with suppress(FileNotFoundError, FileExistsError):  # the parent is removed with its last entry
                self._open_up(folder.parent)
                source.rename(folder)
                break
        else:
            raise OSError(errno.EBUSY, "the entry cannot be moved into the store", str(folder))
        return Artifact(folder, value, _digests(contents))

    def _open_up(self, parent: Path) -> None:
        """Make the folder of a key, even where something else has its place."""
        if parent.exists() and not parent.is_dir():
            parent.unlink()
        parent.mkdir(exist_ok=True)
        if not os.access(parent, os.R_OK | os.W_OK | os.X_OK):
            parent.chmod(0o755)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a new folder on the store's disk, removed at the end unless it was moved.

        Raises:
            OSError: the store cannot be written.
        """
        folder = self.new_scratch()
        try:
            yield folder
        finally:
            durable.remove(folder)

    def new_scratch(self) -> Path:
        """Return a new folder on the store's disk, which others remove if this process ends without doing so."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{_PARTIAL}{self._marks.owners.me}-", dir=self.folder))

    def _expect(self, size: int) -> None:
        """Make room for this many bytes, unless little was added since the store was last measured.

        Raises:
            NoRoom: they do not fit.
        """
        if _added.get((self.folder, self.limit), self._recount_after) + size >= self._recount_after:
            self.make_room(size)

    def make_room(self, size: int) -> None:
        """Remove the least recently used entries until this many bytes fit.

        Raises:
            NoRoom: they do not fit, whatever is removed.
        """
        if size > self.limit:
            raise NoRoom(size, self.limit)
        own = f"{_PARTIAL}{self._marks.owners.me}-"  # the folder being written is what needs the room
        entries = [entry for entry in self._entries() if not entry.name.startswith(own)]
        sizes = {entry: files.bytes_in(entry) for entry in entries}
        total = sum(sizes.values())
        for entry in sorted(entries, key=_last_used):
            if total + size <= self.limit:
                break
            if self._remove(entry):
                total -= sizes[entry]
        _added[self.folder, self.limit] = 0
        if total + size > self.limit:
            raise NoRoom(size, self.limit, total)

    def sweep(self) -> None:
        """Remove what processes left that were killed."""
        for folder in _folders(self.folder):
            if folder.name.startswith((_PARTIAL, _GONE)):
                self._remove(folder)

    def usage(self) -> Usage:
        """Return how much the store holds."""
        entries = self._entries()
        complete = [each for each in entries if (each / files.NOTE).exists()]
        return Usage(self.folder, len(complete), sum(map(files.bytes_in, entries)), self.limit)

    def clear(self) -> int:
        """Remove the entries that no running command uses; return the bytes freed."""
        before = self.usage().bytes
        for entry in self._entries():
            self._remove(entry)
        return before - self.usage().bytes

    def _entries(self) -> list[Path]:
        """Return the folders of entries, and folders left behind by killed processes."""
        keys = [each for each in _folders(self.folder) if each.name != OWNERS]
        leftovers = [each for each in keys if each.name.startswith((_PARTIAL, _GONE))]
        return leftovers + [entry for key in keys if key not in leftovers for entry in _folders(key)]

    def _remove(self, folder: Path) -> bool:
        """Remove an entry, unless a running command uses it."""
        if folder.parent == self.folder:
            if self._marks.owners.lives(folder.name.split("-")[1]):
                return False
            durable.remove(folder)
            return True
        with suppress(OSError):  # another process is removing it, too
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                folder.chmod(0o755)
            if not self._marks.marked(folder) and self._marks.claim(folder):
                gone = self.folder / f"{_GONE}{self._marks.owners.me}-{time.monotonic_ns()}"
                folder.rename(gone)
                durable.remove(gone)
                with suppress(OSError):
                    folder.parent.rmdir()
                return True
        return False


def _intact_note(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the note of an entry; None if the entry does not hold, or is one of another key."""
    try:
        note: dict[str, Any] = json.loads((folder / files.NOTE).read_bytes())
        holds = note.pop("sha256") == key_of(note) and note["key"] == key and files.are_intact(folder, note["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # what damage can raise
        return None
    return note if holds else None


def _digests(contents: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: file["sha256"] for name, file in contents.items()}


def _folders(parent: Path) -> list[Path]:
    """Return the subfolders of a folder; empty if it does not exist."""
    try:
        return sorted(each for each in parent.iterdir() if each.is_dir())
    except OSError:
        return []


def _last_used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
