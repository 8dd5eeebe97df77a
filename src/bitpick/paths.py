"""Names that a run, a build or a recipe gives to its own files. No such name may lead out of its folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator

from bitpick.errors import OutputError


def plain_name(name: str) -> str:
    """Return a name that is one component of a path.

    Raises:
        ValueError: it is none: it is empty, `.` or `..`, or it has a `/` or a NUL.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is not a plain name")
    return name


def relative_path(path: str) -> str:
    """Return a path whose components are plain names, such as `builds/a/model.onnx`.

    Raises:
        ValueError: it is absolute, or one of its components is not a plain name.
    """
    if path.startswith("/"):
        raise ValueError(f"{path!r} is not a path inside its folder")
    try:
        for name in path.split("/"):
            plain_name(name)
    except ValueError:
        raise ValueError(f"{path!r} is not a path inside its folder") from None
    return path


PlainName = Annotated[str, AfterValidator(plain_name)]
"""A field with the name of a file or a folder; see `plain_name`."""
RelativePath = Annotated[str, AfterValidator(relative_path)]
"""A field with the path of a file inside the folder that the record describes; see `relative_path`."""


def inside(folder: Path, path: str) -> Path:
    """Return the file that a path names inside a folder.

    Raises:
        ValueError: the path is no `relative_path`, or it leads out of the folder through a symbolic link.
    """
    file = folder / PurePosixPath(relative_path(path))
    if not file.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path!r} is a symbolic link that leads out of {folder}")
    return file


def check_links(folder: Path, names: Iterable[str] | None = None) -> None:
    """Refuse a folder that holds a symbolic link to something outside it.

    Args:
        folder: the folder, which may be a link itself.
        names: what to look at in it; None for everything.

    Raises:
        OutputError: it holds one.
    """
    root = folder.resolve()
    for entry in _everything(folder) if names is None else _below(folder, names):
        if entry.is_symlink() and not entry.resolve().is_relative_to(root):
            raise OutputError(
                f"{entry} is a symbolic link to {entry.readlink()}, outside {folder}",
                expected="a folder that holds all of its files itself",
                fix="if you made the link, replace it with what it leads to; if you did not, do not use the folder",
            )


def _everything(folder: Path) -> Iterator[Path]:
    """Yield everything in a folder, links but not what they lead to."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))


def _below(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Yield what has these names in a folder, each with everything in it."""
    for entry in (folder / name for name in names):
        yield entry
        if not entry.is_symlink():
            yield from _everything(entry)
