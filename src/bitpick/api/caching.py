"""What bitpick keeps so as not to make it again: how much it is, and how to be rid of it."""

from __future__ import annotations

import shutil

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
    shutil.rmtree(cache_root() / "data", ignore_errors=True)  # where earlier versions kept what they decoded
    return Store.default().clear()
