"""Write files and folders that hold: each appears whole or not at all, and is still there after a power cut.

Everything that must last is written by these functions: to a temporary neighbour, whose writes and size are checked and
which is forced to the disk, then renamed into place; then the folder is forced to the disk, too.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

PARTIAL = ".partial-bitpick-"
"""Begins the names of temporary neighbours; see `sweep`."""
_AT_ONCE = 8
_DAY = 24 * 3600  # seconds
_CHUNK = 16 * 2**20  # bytes
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # file systems that cannot force a folder to the disk


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder beside `path`; what is written there then replaces it.

    Args:
        path: a file or folder; its parent exists.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=PARTIAL))
    try:
        yield folder / path.name
        put(folder / path.name, path)
    finally:
        remove(folder)


def write(path: Path, content: str | bytes) -> None:
    """Write a file: a reader, or a crash at any moment, sees the old content or the new one.

    Raises:
        OSError: it cannot be written; the old file, if there was one, is still there.
    """
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def put(source: Path, path: Path) -> None:
    """Force a file or folder to the disk, and move it to a path on the same disk, where it replaces one of its kind."""
    sync(source)
    if source.is_dir() and path.is_dir() and not path.is_symlink():  # a rename replaces empty folders only
        old = Path(tempfile.mkdtemp(dir=path.parent, prefix=PARTIAL))
        path.replace(old / path.name)
        try:
            source.replace(path)
        except OSError:
            (old / path.name).replace(path)
            raise
        finally:
            remove(old)
    else:
        source.replace(path)
    sync_folder(path.parent)


def sync(path: Path) -> None:
    """Force a file, or a folder with all that is in it, to the disk.

    Raises:
        OSError: what was written before is not on the disk.
    """
    if not path.is_dir():
        _fsync(path)
        return
    inner = [each for each in path.rglob("*") if not each.is_symlink()]
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # a disk flushes once for all who wait at the same time
        for _ in pool.map(lambda each: sync_folder(each) if each.is_dir() else _fsync(each), [*inner, path]):
            pass


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, where the file system can."""
    try:
        _fsync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


class Checked(io.RawIOBase):
    """A file whose writes are complete or raise.

    NumPy writes to files of the operating system through C streams, and does not look whether the last bytes arrived.
    It writes to any other object through its `write`.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, content: Any) -> int:
        """Write all of a buffer."""
        view = memoryview(content).cast("B")
        for start in range(0, len(view), _CHUNK):
            self._file.write(view[start : start + _CHUNK])
        return len(view)

    def writable(self) -> bool:
        """Return true."""
        return True


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `.npy`; see `write`.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        np.lib.format.write_array(Checked(file), np.asanyarray(array), allow_pickle=False)


def copy(source: Path, path: Path) -> None:
    """Copy a file or folder; see `replacing`.

    Raises:
        OSError: it cannot be written, or has another size than its source.
    """
    with replacing(path) as partial:
        if source.is_dir():
            copy_tree(source, partial)
        else:
            shutil.copyfile(source, partial)
            if partial.stat().st_size != source.stat().st_size:
                raise OSError(errno.EIO, "the copy is not as large as its source", str(path))


def copy_tree(source: Path, folder: Path) -> None:
    """Copy a folder with the permissions that the user's umask gives new ones; the first error ends it.

    Raises:
        OSError: something cannot be read or written.
    """
    folder.mkdir()
    for each in sorted(source.iterdir()):
        if each.is_dir():
            copy_tree(each, folder / each.name)
        else:
            shutil.copyfile(each, folder / each.name)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, even where others made it unwritable, as far as that is possible."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for place, _, _ in os.walk(folder):
            with suppress(OSError):
                Path(place).chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)


def sweep_old(folder: Path) -> None:
    """Remove what processes that were killed more than a day ago left in a folder of the user's."""
    for each in folder.glob(f"{PARTIAL}*"):
        with suppress(OSError):
            if time.time() - each.lstat().st_mtime > _DAY:
                remove(each)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder and in those below it; nobody else may be writing there."""
    for place, folders, files in os.walk(folder):
        for name in [each for each in folders if each.startswith(PARTIAL)]:
            folders.remove(name)
            remove(Path(place, name))
        for name in files:
            if name.startswith((PARTIAL, ".run.json-")):  # the latter by earlier versions
                with suppress(OSError):
                    Path(place, name).unlink()
