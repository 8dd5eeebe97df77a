"""Find the file of a function that users name as `module:function`, without running it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from bitpick.models.model import sha256_of


def code_sha256(function: str) -> str:
    """Return the digest of a function's file; empty if it is not in the current folder or on the Python path."""
    file = _module_file(function.partition(":")[0])
    return sha256_of(file) if file is not None else ""


def _module_file(module: str) -> Path | None:
    """Find the file of a module without running the packages that contain it."""
    top, *rest = module.split(".")
    if file := _in_folder(Path(), (top, *rest)):
        return file
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if rest:
        files = (_in_folder(Path(each), rest) for each in spec.submodule_search_locations or ())
        return next((file for file in files if file), None)
    return Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None


def _in_folder(folder: Path, parts: Sequence[str]) -> Path | None:
    """Return the file of a module below a folder: `module.py`, or `__init__.py` of a package."""
    base = folder.joinpath(*parts)
    return next((p for p in (base / "__init__.py", base.with_suffix(".py")) if p.is_file()), None)
