"""Detect changes of files that must stay the same, during a command and until they are read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from bitpick.artifacts import durable, files
from bitpick.errors import RequestError
from bitpick.models.model import model_sha256

_SEAL = ".seal"


class Watch:
    """Watches files that several processes open repeatedly during a command.

    Otherwise, results measured on a replaced file would be recorded under the digest of the original.
    """

    def __init__(self) -> None:
        self._stamps: dict[Path, tuple[int, ...]] = {}

    def add(self, paths: Iterable[Path]) -> None:
        """Watch files from now on, those of a data set since they were first read for this run.

        Files that are already watched keep their first stamp.
        """
        for file in paths:
            seen = files.last_seen.get(file.absolute())
            self._stamps.setdefault(file, _stamp(file) if seen is None else tuple(seen))

    def check(self) -> None:
        """Check that the files have not changed.

        Raises:
            RequestError: a file was written to, replaced or removed.
        """
        for file, stamp in self._stamps.items():
            if _stamp(file) != stamp:
                raise RequestError(
                    f"{file} changed while it was in use",
                    expected="the same files from the start of a command to its end",
                    fix="run the command again when nothing writes to that file any more",
                )


def _stamp(file: Path) -> tuple[int, ...]:
    """Return what a write or a replacement would change, without reading the file; empty if there is no file."""
    try:
        return tuple(files.stamp(file))
    except OSError:
        return ()


def seal(file: Path, key: str) -> None:
    """Write a seal next to a file: a digest of its content and of what it was made from.

    Args:
        file: the file or folder; its seal is `<name>.seal`.
        key: identifies everything that the file depends on.
    """
    durable.write(_seal_path(file), _seal_text(file, key))


def is_sealed(file: Path, key: str) -> bool:
    """Whether a file exists, was made from what `key` identifies, and is unchanged."""
    try:
        return _seal_path(file).read_text() == _seal_text(file, key)
    except (OSError, UnicodeDecodeError):
        return False


def _seal_path(file: Path) -> Path:
    return file.with_name(file.name + _SEAL)


def _seal_text(file: Path, key: str) -> str:
    return hashlib.sha256(f"{key}\n{model_sha256(file)}".encode()).hexdigest()
