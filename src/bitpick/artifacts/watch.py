"""Files that must stay as they are: while they are worked with, and until they are read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from bitpick.errors import RequestError
from bitpick.models.model import model_sha256

_SEAL = ".seal"


class Watch:
    """Files that are opened again and again while a command goes on, by several processes.

    What is measured on a file that was replaced meanwhile would pass as measured on the one whose digest is recorded.
    """

    def __init__(self) -> None:
        self._stamps: dict[Path, tuple[int, ...]] = {}

    def add(self, files: Iterable[Path]) -> None:
        """Watch files from now on. One that is watched already is watched from when it was first."""
        for file in files:
            self._stamps.setdefault(file, _stamp(file))

    def check(self) -> None:
        """See that the files are what they were.

        Raises:
            RequestError: one of them was written to, replaced or removed.
        """
        for file, stamp in self._stamps.items():
            if _stamp(file) != stamp:
                raise RequestError(
                    f"{file} changed while it was in use",
                    expected="the same files from the start of a command to its end",
                    fix="run the command again when nothing writes to that file any more",
                )


def _stamp(file: Path) -> tuple[int, ...]:
    """What a write or a replacement changes, without reading the file; empty where there is none."""
    try:
        told = file.stat()
    except OSError:
        return ()
    return told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino


def seal(file: Path, key: str) -> None:
    """Note beside a file what it was made from, and that it is whole.

    Args:
        file: the file or folder; its seal is `<name>.seal`.
        key: names all that it depends on.
    """
    _seal_of(file).write_text(_sealed(file, key))


def is_sealed(file: Path, key: str) -> bool:
    """Whether a file is there, was made from what `key` names, and was not changed since."""
    try:
        return _seal_of(file).read_text() == _sealed(file, key)
    except (OSError, UnicodeDecodeError):
        return False


def _seal_of(file: Path) -> Path:
    return file.with_name(file.name + _SEAL)


def _sealed(file: Path, key: str) -> str:
    return hashlib.sha256(f"{key}\n{model_sha256(file)}".encode()).hexdigest()
