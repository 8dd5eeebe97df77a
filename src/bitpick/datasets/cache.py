"""What was decoded or unpacked once: folders of `.npy` files under the cache, up to a limit."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bitpick.datasets import npy
from bitpick.errors import DataError

DEFAULT_LIMIT = "20 GB"
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_NOTE, _FILES = "entry.json", "files.json"


def root() -> Path:
    """The cache: `BITPICK_CACHE`, or the platform's cache folder."""
    import platformdirs

    named = os.environ.get("BITPICK_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("bitpick")


def limit() -> int:
    """How many bytes the entries may have together: `BITPICK_CACHE_LIMIT`, or 20 GB of 10^9 bytes.

    Raises:
        DataError: the variable is no size.
    """
    text = os.environ.get("BITPICK_CACHE_LIMIT") or DEFAULT_LIMIT
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?b?)\s*", text.lower())
    unit = None if found is None else _UNITS.get(found[2] if found[2] in _UNITS else found[2] + "b")
    if found is None or unit is None:
        raise DataError(f"BITPICK_CACHE_LIMIT is {text!r}, which is no size", expected="e.g. 500 MB or 20 GB")
    return int(float(found[1]) * unit)


def entry(key: list[Any], size: int, make: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """A folder of the cache: the one that has this key, or a new one.

    Args:
        key: all that its content depends on, as JSON can carry it.
        size: about how many bytes it will have; entries that were not used for longest go, to make room for it.
        make: writes the files into the folder that it is given, and returns what to note beside them, as JSON.

    Returns:
        The folder, and what was noted.

    Raises:
        DataError: there is no room for it, or the cache cannot be written.
    """
    folder = root() / "data" / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    try:
        noted = _opened(folder)
        if noted is None:
            make_room(size)
            with scratch() as partial:
                noted = make(partial)
                (partial / _FILES).write_text(json.dumps(_files(partial)))
                (partial / _NOTE).write_text(json.dumps(noted))
                partial.chmod(0o755)
                shutil.rmtree(folder, ignore_errors=True)  # what is there is not whole
                partial.replace(folder)
        _mark(folder)
    except OSError as error:
        raise DataError(
            f"the cache {folder.parent} cannot be written: {error.strerror or error}",
            mend="free space there, or name another folder with the variable BITPICK_CACHE",
        ) from error
    return folder, noted


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder on the disk of the cache, gone at the end unless it was moved."""
    parent = root() / "data"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"partial-{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def digest(path: Path) -> str:
    """The digest of the array in a `.npy` file, computed once for each state of the file; see `npy.sha256`."""
    stat = path.stat()

    def make(_: Path) -> dict[str, Any]:
        return {"sha256": npy.sha256([path])}

    _, noted = entry(["digest", str(path.absolute()), stat.st_size, stat.st_mtime_ns], 0, make)
    return str(noted["sha256"])


def make_room(size: int) -> None:
    """Remove the entries that were not used for longest, until one of this size fits.

    Raises:
        DataError: it does not fit, whatever goes.
    """
    most, folder = limit(), root() / "data"
    if size > most:
        raise DataError(
            f"the decoded data set has {_gigabytes(size)} and the cache may have {_gigabytes(most)}",
            mend=f"set BITPICK_CACHE_LIMIT to {size // 10**9 + 1} GB, or give smaller or fewer samples",
        )
    own = f"partial-{os.getpid()}-"  # what is being written is what room is made for
    there = list(folder.iterdir()) if folder.is_dir() else []
    entries = [each for each in there if each.is_dir() and not each.name.startswith(own)]
    sizes = {each: _bytes_in(each) for each in entries}
    total = sum(sizes.values())
    for each in sorted(entries, key=lambda each: each.stat().st_mtime):
        if total + size <= most:
            return
        if not _in_use(each):
            shutil.rmtree(each, ignore_errors=True)
            total -= sizes[each]
    if total + size > most:
        raise DataError(
            f"the cache {folder} may have {_gigabytes(most)}, and other running commands use {_gigabytes(total)}",
            expected=f"room for {_gigabytes(size)}",
            mend="wait for them, or set BITPICK_CACHE_LIMIT to more",
        )


def _opened(folder: Path) -> dict[str, Any] | None:
    """What was noted of an entry, which now counts as used last; None where there is none, whole and unchanged."""
    try:
        noted: dict[str, Any] = json.loads((folder / _NOTE).read_text())
        known = folder / _FILES  # entries of earlier versions have none
        if known.exists() and json.loads(known.read_text()) != _files(folder):
            return None
        os.utime(folder)
    except (OSError, ValueError):
        return None
    return noted


def _files(folder: Path) -> dict[str, list[int]]:
    """The size and the time of each file of an entry: the time in seconds, which is what archives keep of it."""
    stats = {path.name: path.stat() for path in folder.iterdir() if path.suffix == ".npy"}
    return {name: [told.st_size, int(told.st_mtime)] for name, told in sorted(stats.items())}


def _mark(folder: Path) -> None:
    """Note that this process uses an entry: as long as it lives, nobody removes it."""
    for mark in folder.glob("used-by-*"):
        if not _lives(mark.name):
            mark.unlink(missing_ok=True)
    (folder / f"used-by-{os.getpid()}").touch()


def _lives(name: str) -> bool:
    """Whether the process in the name of a mark lives."""
    import psutil

    return psutil.pid_exists(int(name.split("-")[2]))


def _in_use(folder: Path) -> bool:
    import psutil

    if folder.name.startswith("partial-"):
        return psutil.pid_exists(int(folder.name.split("-")[1]))
    return any(_lives(mark.name) for mark in folder.glob("used-by-*"))


def _bytes_in(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except FileNotFoundError:  # another process removed it
        return 0


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
