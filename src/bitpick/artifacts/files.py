"""Check that the files of a store entry are still as they were written."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

_STAMPS = "stamps.json"
_HASH_LIMIT = 2**28  # bytes; larger files are checked by stamp only: hashing them takes as long as using them


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of each file below a folder, by relative path; very large files have no digest."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def are_intact(folder: Path, files: dict[str, dict[str, Any]]) -> bool:
    """Whether the files of an entry are as they were written.

    A file with the same stamp as at the last check has not been touched. A file with another stamp is hashed, unless it
    is too large.
    """
    stamps = {name: _stamp(folder / name) for name in files}
    checked: Any = None
    with suppress(OSError, ValueError):
        checked = json.loads((folder / _STAMPS).read_text())
    checked = checked if isinstance(checked, dict) else {}
    if checked == stamps:
        return True
    for name, entry in files.items():
        if stamps[name][0] != entry["bytes"]:
            return False
        if checked and checked.get(name) == stamps[name]:
            continue
        if entry["sha256"] is None and checked:
            return False
        if entry["sha256"] is not None and sha256(folder / name) != entry["sha256"]:
            return False
    _write(folder / _STAMPS, json.dumps(stamps))
    return True


def _stamp(path: Path) -> list[int]:
    """Return what a write or a replacement would change, without reading the file."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def sha256(path: Path) -> str | None:
    """Return the digest of a file; None if it is very large."""
    if path.stat().st_size > _HASH_LIMIT:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(partial).replace(path)


def bytes_in(folder: Path) -> int:
    """Return the total size of the files below a folder; files removed meanwhile by other processes do not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).stat().st_size
    return total
