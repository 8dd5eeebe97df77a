"""Loads every family of the zoo."""

from __future__ import annotations

import importlib
from pathlib import Path


def load() -> None:
    """Import every module of models, which enter themselves in the table."""
    for path in sorted(Path(__file__).parent.glob("models_*.py")):
        importlib.import_module(f"tests.zoo.{path.stem}")
