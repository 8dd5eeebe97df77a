from __future__ import annotations

import time

import numpy as np
import pytest

from bitpick.engines.engine import Session
from bitpick.measures import latency
from bitpick.measures.clocks import Block


class Sleeping(Session):
    def __init__(self, seconds):
        self.seconds = seconds
        self.prepared = 0
        self.runs = 0

    def prepare(self, batch):
        self.prepared += 1
        return batch

    def run(self, native):
        self.runs += 1
        time.sleep(self.seconds)
        return native

    def outputs(self, native):
        return (native,)


def test_a_block_is_long_enough_and_preparing_is_not_timed(monkeypatch):
    monkeypatch.setattr(latency, "_OPEN", {})
    monkeypatch.setattr(latency, "_WARM_SECONDS", 0.05)
    quick, slow = Sleeping(1e-4), Sleeping(3e-3)
    latency.hold("quick", quick, np.zeros(1, np.float32))
    latency.hold("slow", slow, np.zeros(1, np.float32))
    assert quick.prepared == slow.prepared == 1
    before = quick.runs
    first, second, third = latency.blocks(["quick", "slow", "quick"])
    assert second.wall > 3e-3 > max(first.wall, third.wall) >= 1e-4
    assert second.waits >= 1  # it sleeps, which is no work
    assert second.cpu < 0.5 * second.wall
    assert quick.runs - before > 4  # several runs in a block, and some before it


@pytest.mark.parametrize(("waits", "runs"), [(0.0, 16), (1.0, 1)])
def test_blocks_are_sized_by_cpu_time_unless_a_run_waits(monkeypatch, waits, runs):
    """Beside busy processes every run may be interrupted for longer than a block takes: that must not make it short."""
    monkeypatch.setattr(latency, "_OPEN", {})
    done = Block(0.0, 0.0, 0.0, 0.0)

    class Interrupted(Sleeping):
        def run(self, native):
            nonlocal done
            done = Block(*np.add(done, (0.01, 1e-4, 1e-4, waits)))

    monkeypatch.setattr(latency.clocks, "now", lambda: done)
    latency.hold("a", Interrupted(0.0), np.zeros(1, np.float32), warm_seconds=0)
    assert latency._OPEN["a"].repetitions == runs


def test_many_samples_are_run_untimed_before_they_are_timed(monkeypatch):
    monkeypatch.setattr(latency, "_OPEN", {})
    session = Sleeping(1e-3)
    latency.hold("a", session, np.zeros(1, np.float32), warm_seconds=0)
    before = session.runs
    found = latency.time_batch("a", np.zeros(8, np.float32), 3)
    assert session.runs - before == latency._FIRST_RUNS + 3
    assert session.prepared == 2
    assert len(found) == 3
    assert min(block.wall for block in found) >= 1e-3
