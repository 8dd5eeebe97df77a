"""The cache: where everything lies that can be made again, and how large it may be."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bitpick.errors import RequestError

_LIMIT = "20 GB"
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def cache_root() -> Path:
    """Return the folder for everything that can be made again: `BITPICK_CACHE`, or the platform's cache folder."""
    import platformdirs

    variable = os.environ.get("BITPICK_CACHE")
    return Path(variable) if variable else platformdirs.user_cache_path("bitpick")


def limit() -> int:
    """Return how many bytes a store may take: `BITPICK_CACHE_LIMIT`, or 20 GB (of 10^9 bytes).

    Raises:
        RequestError: the variable is not a size.
    """
    text = os.environ.get("BITPICK_CACHE_LIMIT") or _LIMIT
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?b?)\s*", text.lower())
    unit = None if match is None else _UNITS.get(match[2] if match[2] in _UNITS else match[2] + "b")
    if match is None or unit is None:
        raise RequestError(f"BITPICK_CACHE_LIMIT is {text!r}, which is no size", expected="e.g. 500 MB or 20 GB")
    return int(float(match[1]) * unit)
