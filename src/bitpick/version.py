"""Versions: bitpick's own, and those of installed libraries, of which this imports none."""

from __future__ import annotations

from importlib import metadata

__version__ = "0.1.0"


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
