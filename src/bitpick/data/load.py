"""A data set by name or by folder."""

from __future__ import annotations

from pathlib import Path

from bitpick.data import cifar10
from bitpick.data.dataset import Dataset
from bitpick.data.progress import Progress, silent
from bitpick.errors import DataError
from bitpick.model import Signature
from bitpick.recipe import did_you_mean

NAMES = ("cifar10",)


def load(data: str | Path, signature: Signature | None = None, progress: Progress = silent) -> Dataset:  # noqa: ARG001
    """Load a data set, fetching it where it is known by name and not here yet.

    Args:
        data: `cifar10`, or a folder that holds a copy of it.
        signature: what the model takes and gives; None where there is no model.
        progress: is told how far a download or a decoding is.

    Raises:
        DataError: no such data set, or no way to it.
    """
    if str(data) == "cifar10":
        return cifar10.load(progress=progress)
    folder = Path(data)
    if folder.is_dir():
        return cifar10.load(folder, progress)
    raise DataError(
        f"there is no data set {str(data)!r}",
        expected="cifar10, or a folder that holds it",
        mend=did_you_mean(str(data), NAMES),
    )
