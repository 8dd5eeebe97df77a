"""The versions of bitpick and of installed libraries, found without importing them."""

from __future__ import annotations

from importlib import metadata

__version__ = "0.1.0"


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
