from __future__ import annotations

import numpy as np
import pytest

from bitpick.measures import memory
from bitpick.measures.memory import peak_growth

MEGABYTE = 1 << 20


def test_what_is_kept_counts():
    kept, grown = peak_growth(lambda: np.ones(64 * MEGABYTE, np.uint8))
    assert kept.size == 64 * MEGABYTE
    assert 64 * MEGABYTE <= grown < 96 * MEGABYTE


@pytest.mark.skipif(not memory._RESET.exists(), reason="only Linux keeps a peak that can be reset")
def test_what_was_let_go_counts_at_its_peak():
    _, grown = peak_growth(lambda: np.ones(64 * MEGABYTE, np.uint8).sum())
    assert grown > 60 * MEGABYTE


def test_what_was_used_before_does_not_count():
    big = np.ones(64 * MEGABYTE, np.uint8)
    del big
    _, grown = peak_growth(lambda: np.ones(1000, np.uint8))
    assert grown < 16 * MEGABYTE


def test_elsewhere_the_growth_at_the_end_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_RESET", tmp_path / "no" / "such" / "file")
    kept, grown = peak_growth(lambda: np.ones(64 * MEGABYTE, np.uint8))
    assert kept.size <= grown < 96 * MEGABYTE
