"""The files of an entry of the store: whether they are what was written."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

_STAMPS = "stamps.json"
_HASHED = 2**28  # bytes; what is larger is known by its stamp alone: to hash it takes as long as to use it


def described(folder: Path) -> dict[str, dict[str, Any]]:
    """The size and the SHA-256 of each file below a folder, by its path there; no digest of very large ones."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def hold(folder: Path, files: dict[str, dict[str, Any]]) -> bool:
    """Whether the files of an entry are what was written.

    A file whose stamp is the one that it had when it was last looked at was not touched since; one with another stamp
    is hashed, if it is not too large.
    """
    stamps = {name: _stamp(folder / name) for name in files}
    known: Any = None
    with suppress(OSError, ValueError):
        known = json.loads((folder / _STAMPS).read_text())
    known = known if isinstance(known, dict) else {}
    if known == stamps:
        return True
    for name, told in files.items():
        if stamps[name][0] != told["bytes"]:
            return False
        if known and known.get(name) == stamps[name]:
            continue
        if told["sha256"] is None and known:
            return False
        if told["sha256"] is not None and sha256(folder / name) != told["sha256"]:
            return False
    _write(folder / _STAMPS, json.dumps(stamps))
    return True


def _stamp(path: Path) -> list[int]:
    """What a write or a replacement changes, without reading the file."""
    told = path.stat()
    return [told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino]


def sha256(path: Path) -> str | None:
    """The digest of a file; None of a very large one."""
    if path.stat().st_size > _HASHED:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(partial).replace(path)


def bytes_in(folder: Path) -> int:
    """How many bytes there are below a folder; what another process removes meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).stat().st_size
    return total
