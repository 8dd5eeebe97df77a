"""Worker processes for conversions."""

from __future__ import annotations

import pytest

from tests.kept import Kept


@pytest.fixture(scope="session")
def pool(workers: Kept) -> Kept:
    """Workers of every environment, whose jobs may name the functions of this folder."""
    return workers
