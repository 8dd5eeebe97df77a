"""Keep decoded and unpacked data in the store, as folders of `.npy` files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bitpick.artifacts.store import NoRoom, Store, key_of
from bitpick.datasets import npy
from bitpick.errors import DataError


def entry(key: list[Any], size: int, make: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """Return the store's entry with this key, making it if there is none.

    Args:
        key: everything that the content depends on, as JSON.
        size: approximate size in bytes; the least recently used entries are removed to make room for it.
        make: writes the files into the given folder, and returns a value to store with them, as JSON.

    Returns:
        The folder, and the stored value.

    Raises:
        DataError: there is no room for the entry, or the store cannot be written.
    """
    with _explained() as store:
        artifact = store.make(key_of(["data", *key]), make, size)
    return artifact.folder, artifact.value


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new folder on the store's disk, removed at the end unless it was moved."""
    with Store.default().scratch() as folder:
        yield folder


def digest(path: Path) -> str:
    """Return the digest of the array in a `.npy` file, computed once per version of the file; see `npy.sha256`."""
    stat = path.stat()

    def make(_: Path) -> dict[str, Any]:
        return {"sha256": npy.sha256([path])}

    _, value = entry(["digest", str(path.absolute()), stat.st_size, stat.st_mtime_ns], 0, make)
    return str(value["sha256"])


def make_room(size: int) -> None:
    """Remove the least recently used entries until one of this size fits.

    Raises:
        DataError: it does not fit, whatever is removed.
    """
    with _explained() as store:
        store.make_room(size)


@contextmanager
def _explained() -> Iterator[Store]:
    """Yield the store, turning its failures into data errors."""
    store = Store.default()
    try:
        yield store
    except NoRoom as error:
        if error.size > error.limit:
            raise DataError(
                f"the decoded data set has {_gigabytes(error.size)} and the cache may have {_gigabytes(error.limit)}",
                fix=f"set BITPICK_CACHE_LIMIT to {error.size // 10**9 + 1} GB, or give smaller or fewer samples",
            ) from error
        raise DataError(
            f"the cache {store.folder} may have {_gigabytes(error.limit)}, "
            f"and other running commands use {_gigabytes(error.used)}",
            expected=f"room for {_gigabytes(error.size)}",
            fix="wait for them, or set BITPICK_CACHE_LIMIT to more",
        ) from error
    except OSError as error:
        raise DataError(
            f"the cache {store.folder} cannot be written: {error.strerror or error}",
            fix="free space there, or name another folder with the variable BITPICK_CACHE",
        ) from error


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"
