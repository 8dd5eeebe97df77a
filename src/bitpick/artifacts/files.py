"""Check that the files of a store entry are still as they were written."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from bitpick.artifacts.marks import is_ours

NOTE = "artifact.json"
"""The file of an entry that says what it is, and which files it has."""
_STAMPS = "stamps.json"
last_seen: dict[Path, list[int]] = {}
"""The stamps of the user's files when `identity` last looked at them."""
_TICK, _SECONDS = 0.1, 2.0  # seconds within which changes may have the same time; the latter if times have no fractions


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of each file below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def are_intact(folder: Path, files: dict[str, dict[str, Any]]) -> bool:
    """Whether the files of an entry are as they were written, and no others are there.

    A file with the same stamp as at the last check, since this machine was started, has not been touched; one with
    another stamp is hashed.
    """
    stamps = {name: stamp(folder / name) for name in files}
    if set(files) != _names(folder):
        return False
    known: Any = None
    with suppress(OSError, ValueError):
        known = json.loads((folder / _STAMPS).read_bytes())
    known = known if isinstance(known, dict) and known.get("boot") == _boot() else {}
    checked = known.get("stamps")
    checked = checked if isinstance(checked, dict) else {}
    if checked == stamps:
        return True
    for name, entry in files.items():
        if stamps[name][0] != entry["bytes"]:
            return False
        if checked.get(name) != stamps[name] and sha256(folder / name) != entry["sha256"]:
            return False
    if {name: stamp(folder / name) for name in files} != stamps:
        return False  # somebody is writing
    with suppress(OSError):  # the next check then takes longer; a torn file is no JSON
        (folder / _STAMPS).write_text(json.dumps({"boot": _boot(), "stamps": stamps}))
    return True


def _names(folder: Path) -> set[str]:
    """Return the paths of the files below an entry's folder, without those that the store keeps there."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    names = {path.relative_to(folder).as_posix() for path in paths}
    return {name for name in names if name not in (NOTE, _STAMPS) and not is_ours(name)}


def stamp(path: Path) -> list[int]:
    """Return what a write or a replacement changes, without reading the file.

    The time of the last change of a file cannot be set, unlike that of its content.
    """
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def identity(path: Path) -> list[Any]:
    """Return what identifies the content of a user's file: its path and its stamp.

    File systems give changes that follow each other quickly the same time. A file that changed just now is therefore
    looked at a moment later, when no further change can go unnoticed. The content of a file whose times are in the
    future, as on another machine with another clock, is part of its identity.
    """
    moment = _TICK if path.stat().st_ctime_ns % 10**9 else _SECONDS
    age = time.time() - path.stat().st_ctime_ns / 1e9
    if 0 <= age < moment:
        time.sleep(moment - age)
    last_seen[path.absolute()] = stamp(path)
    return [str(path.absolute()), *last_seen[path.absolute()], *([sha256(path)] if age < 0 else [])]


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _boot() -> str:
    """Return what identifies the time since this machine was started: before, a power cut may have undone writes."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def bytes_in(folder: Path) -> int:
    """Return the total size of the files below a folder; files removed meanwhile by other processes do not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).stat().st_size
    return total
