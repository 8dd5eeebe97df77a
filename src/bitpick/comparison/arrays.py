"""Arrays that jobs leave in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.preprocessing import Arrays


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as `.npz`; the file appears whole or not at all."""
    partial = path.with_name(f"partial-{path.name}")
    np.savez(partial, **arrays)  # type: ignore[arg-type]  # its stub takes keywords for options
    partial.replace(path)


def read_outputs(path: Path) -> Arrays:
    """The outputs in a file that `run_form`, `run` or `evaluate` wrote."""
    with np.load(path, allow_pickle=False) as file:
        count = sum(name.startswith("output") for name in file.files)
        return tuple(file[f"output{i}"] for i in range(count))
