"""Treat arrays with one number or string per sample as the columns of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.datasets import cache, npy
from bitpick.datasets.tables import Chunk

_ROWS = 20_000


class Columns:
    """`.npy` files of one column each as a `tables.Table`.

    Args:
        name: the table's name in messages.
        files: file of each column, by name.
        state: identifies the content of the files, as JSON.
    """

    kind = "array"
    notes: Sequence[str] = ()

    def __init__(self, name: str, files: Mapping[str, Path], state: list[Any]) -> None:
        self.name = name
        self.sources = cache.Sources(list(files.values()))
        self.state: list[Any] = ["columns", state]
        self._files = files
        self.columns: Sequence[str] = tuple(files)
        self.features: Sequence[str] = tuple(n for n, file in files.items() if npy.dtype_of(file).kind in "biuf")

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """See `tables.Table`."""
        arrays = {name: np.load(self._files[name], mmap_mode="r", allow_pickle=False) for name in columns}
        for start in range(0, max(map(len, arrays.values())), _ROWS):
            yield {name: np.array(array[start : start + _ROWS]) for name, array in arrays.items()}
