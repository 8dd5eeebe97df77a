from __future__ import annotations

import pytest

from bitpick.artifacts.cache import limit
from bitpick.errors import RequestError


@pytest.mark.parametrize(("text", "size"), [("20 GB", 20e9), ("500MB", 5e8), ("1.5 g", 1.5e9), ("12", 12)])
def test_limits_are_sizes(monkeypatch, text, size):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", text)
    assert limit() == size


def test_a_limit_that_is_none(monkeypatch):
    monkeypatch.setenv("BITPICK_CACHE_LIMIT", "much")
    with pytest.raises(RequestError, match="'much', which is no size"):
        limit()
