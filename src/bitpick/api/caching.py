"""Show and empty the cache."""

from __future__ import annotations

import shutil

from bitpick.artifacts.cache import cache_root
from bitpick.artifacts.files import bytes_in
from bitpick.artifacts.store import Store, Usage


def cache_usage() -> Usage:
    """Return how much the store holds, and where it is.

    Raises:
        RequestError: `BITPICK_CACHE_LIMIT` is not a size.
    """
    return Store.default().usage()


def clear_cache() -> int:
    """Empty the store, except for what running commands use, and return the number of bytes freed.

    Raises:
        RequestError: `BITPICK_CACHE_LIMIT` is not a size.
    """
    store, old_folder = Store.default(), cache_root() / "data"  # where earlier versions kept decoded data
    freed = bytes_in(old_folder)
    shutil.rmtree(old_folder, ignore_errors=True)
    return freed + store.clear()
