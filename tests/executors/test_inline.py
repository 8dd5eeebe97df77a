from __future__ import annotations

from pathlib import Path

import pytest

from bitpick.executors.inline import InlineExecutor


def test_payloads_and_results_cross_json():
    outcome = InlineExecutor().run("any", "json:dumps", {"obj": {"path": Path("/a"), "pair": (1, 2)}})
    assert outcome.value == '{"path": "/a", "pair": [1, 2]}'
    assert outcome.seconds >= 0
    assert outcome.cpu_seconds >= 0


def test_errors_come_through():
    with pytest.raises(TypeError):
        InlineExecutor().run("any", "json:dumps", {})


def test_progress_is_told():
    told = []
    path = "tests.executors.functions:count"
    assert InlineExecutor().run("any", path, {"steps": 2, "seconds": 0}, told.append).value == 2
    assert told == ["step 0", "step 1"]
