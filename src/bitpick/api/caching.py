"""What bitpick keeps so as not to make it again: how much it is, and how to be rid of it."""

from __future__ import annotations

import shutil

from bitpick.artifacts.files import bytes_in
from bitpick.artifacts.store import Store, Usage, cache_root


def cache_usage() -> Usage:
    """How much is in the store, and where that is.

    Raises:
        RequestError: `BITPICK_CACHE_LIMIT` is no size.
    """
    return Store.default().usage()


def clear_cache() -> int:
    """Empty the store, but for what running commands use; returns how many bytes that was.

    Raises:
        RequestError: `BITPICK_CACHE_LIMIT` is no size.
    """
    store, earlier = Store.default(), cache_root() / "data"  # where earlier versions kept what they decoded
    freed = bytes_in(earlier)
    shutil.rmtree(earlier, ignore_errors=True)
    return freed + store.clear()
