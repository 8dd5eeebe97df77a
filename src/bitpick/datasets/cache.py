"""Keep decoded and unpacked data in the store, as folders of `.npy` files.

Where the store has no room for them, or cannot be written, they are in a temporary folder of this process: the next run
then decodes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bitpick.artifacts import durable, files, temporary
from bitpick.artifacts.store import NoRoom, Store, key_of
from bitpick.datasets import npy
from bitpick.errors import DataError


class Sources:
    """Files of the user, as they are when this is made, which is before anything is read from them.

    Args:
        paths: the files.

    Attributes:
        state: identifies their content, as JSON.

    Raises:
        DataError: a file cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self.state = self._look()

    def check(self) -> None:
        """Check that what was read is what `state` identifies.

        Raises:
            DataError: a file was written to, replaced or removed.
        """
        for path, before, now in zip(self._paths, self.state, self._look(), strict=True):
            if before != now:
                raise DataError(
                    f"{path} changed while it was being read",
                    expected="the same files from the start of a command to its end",
                    fix="run the command again when nothing writes to that file any more",
                )

    def _look(self) -> list[list[Any]]:
        try:
            return [files.identity(path) for path in self._paths]
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error


def entry(
    key: list[Any], size: int, make: Callable[[Path], dict[str, Any]], sources: Sources | None = None
) -> tuple[Path, dict[str, Any]]:
    """Return the store's entry with this key, making it if there is none.

    Args:
        key: everything that the content depends on, as JSON.
        size: approximate size in bytes; the least recently used entries are removed to make room for it.
        make: writes the files into the given folder, and returns a value to store with them, as JSON.
        sources: the files that it reads.

    Returns:
        The folder, and the stored value.

    Raises:
        DataError: the entry is larger than the store may be, its disk is full, or a source changed.
    """
    store, digest = Store.default(), key_of(["data", *key])
    if (artifact := store.get(digest)) is not None:
        return artifact.folder, artifact.value
    make_room(size)
    with scratch() as folder:
        try:
            value = make(folder)
        except OSError as error:
            raise _unwritable(folder, error) from error
        if sources is not None:
            sources.check()
        with suppress(NoRoom, OSError):
            if folder.parent == store.folder:
                return store.put(digest, folder, value).folder, value
        return temporary.keep(folder), value


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new folder, on the store's disk if it can be written; removed at the end unless it was moved."""
    store = Store.default()
    try:
        scratch_folder = store.new_scratch()
    except OSError:
        scratch_folder = temporary.new_folder("data")
    try:
        yield scratch_folder
    finally:
        durable.remove(scratch_folder)


def digest(path: Path) -> str:
    """Return the digest of the array in a `.npy` file, computed once per version of the file; see `npy.sha256`."""

    def make(_: Path) -> dict[str, Any]:
        return {"sha256": npy.sha256([path])}

    sources = Sources([path])
    _, value = entry(["digest", sources.state], 0, make, sources)
    return str(value["sha256"])


def make_room(size: int) -> None:
    """Remove the least recently used entries until one of this size fits, if running commands do not use them.

    Raises:
        DataError: it is larger than the store may be.
    """
    store = Store.default()
    try:
        store.make_room(size)
    except NoRoom as error:
        if error.size > error.limit:
            raise DataError(
                f"the decoded data set has {_gigabytes(error.size)} and the cache may have {_gigabytes(error.limit)}",
                fix=f"set BITPICK_CACHE_LIMIT to {error.size // 10**9 + 1} GB, or give smaller or fewer samples",
            ) from error
    except OSError:
        pass  # the store cannot be written: nothing is kept there


def _unwritable(folder: Path, error: OSError) -> DataError:
    if error.filename is not None and not Path(str(error.filename)).is_relative_to(folder):
        return DataError(f"{error.filename} cannot be read: {error.strerror}")
    return DataError(
        f"the decoded data set cannot be written in {folder.parent}: {error.strerror or error}",
        fix="free space there, or name another folder with the variable BITPICK_CACHE",
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
