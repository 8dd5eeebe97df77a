from __future__ import annotations

import time

import numpy as np
import pytest

from bitpick.engines.engine import Session
from bitpick.measures import latency
from bitpick.measures.latency import Ratio, ratio, verdict

RNG = np.random.default_rng(0)


def noisy(seconds, processes=5, pairs=40, drift=0.2):
    """Times with the noise of a shared machine: skewed, drifting, each process with a luck of its own."""
    found = []
    for _ in range(processes):
        luck = 1 + RNG.normal(0, 0.003)
        found.append([seconds * luck * (1 + RNG.exponential(0.02)) for _ in range(pairs)])
    return found


def drifting(first, second, drift):
    """Both of each pair grow by the same factor, which is what pairing is for."""
    factors = [np.linspace(1, 1 + drift, len(part)) for part in first]
    return tuple(
        [list(np.asarray(part) * factor) for part, factor in zip(times, factors, strict=True)]
        for times in (first, second)
    )


@pytest.mark.parametrize("share", [0.5, 1.0, 1.5])
def test_a_ratio_is_that_of_the_times_whatever_both_share(share):
    found = ratio(*drifting(noisy(1e-4 * share), noisy(1e-4), drift=3.0))
    assert found.value == pytest.approx(share, rel=0.02)
    assert found.interval[0] < found.value < found.interval[1]
    assert found.interval[1] / found.interval[0] < 1.05


def test_equal_builds_are_seldom_called_different():
    wrong = 0
    for _ in range(40):
        low, high = ratio(noisy(1e-4), noisy(1e-4)).interval
        wrong += low > 1 or high < 1
    assert wrong <= 10


@pytest.mark.parametrize("processes", [3, 6])
def test_the_interval_covers_what_processes_share_though_they_are_few(processes):
    covered, runs = 0, 300
    for _ in range(runs):
        luck = 1 + RNG.normal(0, 0.01, processes)
        other = [[1e-4 * each * (1 + RNG.normal(0, 0.001)) for _ in range(10)] for each in luck]
        low, high = ratio(other, np.full((processes, 10), 1e-4)).interval
        covered += low <= 1 <= high
    assert covered / runs > 0.9  # the plain bootstrap over three covers 0.75


def test_one_process_shows_little():
    low, high = ratio([[1.0, 1.01, 0.99, 1.0, 1.02]], [[1.0] * 5]).interval
    assert high / low > 1.1


@pytest.mark.parametrize(
    ("interval", "control", "says"),
    [
        ((1.4, 1.6), (0.99, 1.01), "slower"),
        ((0.6, 0.7), (0.99, 1.01), "faster"),
        ((0.99, 1.02), (0.99, 1.01), "no difference shown"),
        ((1.4, 1.6), (1.01, 1.02), "not resolvable on this machine"),
        ((1.4, 1.6), (0.97, 0.99), "not resolvable on this machine"),
        ((1.4, 1.6), (0.96, 1.02), "not resolvable on this machine"),
    ],
)
def test_verdicts(interval, control, says):
    assert verdict(Ratio(1.0, interval), Ratio(1.0, control)) == says


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
    assert second > 3e-3 > max(first, third) >= 1e-4
    assert quick.runs - before > 4  # several runs in a block, and some before it


def test_many_samples_are_run_untimed_before_they_are_timed(monkeypatch):
    monkeypatch.setattr(latency, "_OPEN", {})
    session = Sleeping(1e-3)
    latency.hold("a", session, np.zeros(1, np.float32), warm_seconds=0)
    before = session.runs
    found = latency.many("a", np.zeros(8, np.float32), 3)
    assert session.runs - before == latency._FIRST_RUNS + 3
    assert session.prepared == 2
    assert len(found) == 3
    assert min(found) >= 1e-3
