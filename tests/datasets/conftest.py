"""A cache of a test's own, and files as users have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitpick.models.model import Signature, Tensor


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.delenv("BITPICK_STORE")
    monkeypatch.setenv("BITPICK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def takes(*shape: int | None, name: str = "image", classes: int = 3, dtype: str = "float32") -> Signature:
    """A model of one input, that scores classes."""
    return Signature((Tensor(name, shape, dtype),), (Tensor("scores", (classes,)),))


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of pictures, each of one colour that no other one has."""

    def make(
        counts: Mapping[str, int], size: tuple[int, int] = (6, 8), suffix: str = ".png", name: str = "photos"
    ) -> Path:
        root = tmp_path / name
        for number, (folder, count) in enumerate(counts.items()):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                colour = (40 * number + 10, i % 256, 200)
                pixels = np.full((*size, 3), colour, np.uint8)
                Image.fromarray(pixels).save(root / folder / f"{i:03}{suffix}")
        return root

    return make
