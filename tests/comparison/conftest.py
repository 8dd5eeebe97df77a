"""What tests of comparisons share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def quick_collection() -> Iterator[None]:
    """Keep the garbage collector, which runs before a build is opened to be timed, from the frameworks' objects."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
