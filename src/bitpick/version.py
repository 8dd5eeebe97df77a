"""The versions of bitpick and of installed libraries, found without importing them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

__version__ = "0.1.0"


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def not_installed(distributions: Sequence[str], extra: str) -> str | None:
    """Return which distributions are missing and the command that installs them; None if none is.

    Args:
        distributions: their names.
        extra: the extra of bitpick that brings them.
    """
    absent = [name for name in distributions if installed_version(name) is None]
    if not absent:
        return None
    return f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed: pip install 'bitpick[{extra}]'"
