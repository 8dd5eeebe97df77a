"""The size of what ships."""

from __future__ import annotations

from pathlib import Path

from bitpick.engines.engine import Build
from bitpick.models.model import sha256_of
from bitpick.schema.run import File


def total(build: Build) -> int:
    """Return the bytes of all files of a build."""
    return sum((build.folder / name).stat().st_size for name in build.files)


def files(build: Build, root: Path) -> list[File]:
    """Return the files of a build, with paths relative to `root`."""
    paths = [build.folder / name for name in build.files]
    return [
        File(path=path.relative_to(root).as_posix(), bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in paths
    ]
