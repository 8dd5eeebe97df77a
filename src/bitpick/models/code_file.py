"""The file of a function that users name as `module:function`, found and never run."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from bitpick.models.model import sha256_of


def code_sha256(function: str) -> str:
    """The digest of the file of a function's module, where there is one beside the user or on the Python path."""
    found = _file(function.partition(":")[0])
    return sha256_of(found) if found is not None else ""


def _file(module: str) -> Path | None:
    """The file of a module, found without running anything of the packages that it is in."""
    first, *inner = module.split(".")
    if place := _in_folder(Path(), (first, *inner)):
        return place
    try:
        spec = importlib.util.find_spec(first)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if inner:
        places = (_in_folder(Path(each), inner) for each in spec.submodule_search_locations or ())
        return next((place for place in places if place), None)
    return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None


def _in_folder(folder: Path, parts: Sequence[str]) -> Path | None:
    """The file of a module under a folder: its own, or that of the package that it is."""
    whole = folder.joinpath(*parts)
    return next((p for p in (whole / "__init__.py", whole.with_suffix(".py")) if p.is_file()), None)
