"""Ratios of times, by simulation: noise with bursts, heavy tails and a memory, in processes with their own luck."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.statistics.time_ratios import Ratio, ratio, widened
from bitpick.timing import verdict

RNG = np.random.default_rng(0)


def simulated(share, processes, pairs, luck, noise):
    """Times of a build and of a reference, whose true ratio is `share`.

    What both of a pair have in common drifts by a factor of three. Each pair's own noise remembers half of the last
    one's and has the tails of Student's t with 2.5 degrees of freedom; one pair in twenty is hit by a burst, on either
    side. Each process has a luck of its own, with tails of t with 3.
    """
    found = [], []
    for own in luck * RNG.standard_t(3, processes) / np.sqrt(3):
        each = noise * RNG.standard_t(2.5, pairs)
        for place in range(1, pairs):
            each[place] += 0.5 * each[place - 1]
        each += (RNG.random(pairs) < 0.05) * RNG.exponential(0.5, pairs) * RNG.choice([-1, 1], pairs)
        common = 1e-4 * np.exp(np.cumsum(RNG.normal(0, 0.1, pairs)))
        found[0].append(common * share * np.exp(own + each))
        found[1].append(common)
    return found


def claimed(share, *arguments):
    """What a benchmark of two builds says, with a control that is as noisy."""
    return verdict(widened(ratio(*simulated(share, *arguments)), ratio(*simulated(1, *arguments))).interval)


# Luck and noise, as measured: of CPU time on a quiet and on a busy machine, of wall time on a busy one.
QUIET, BUSY, WALL = (0.005, 0.005), (0.01, 0.02), (0.02, 0.12)


@pytest.mark.parametrize("noise", [QUIET, BUSY, WALL], ids=["quiet", "busy", "busy, wall time"])
@pytest.mark.parametrize(("processes", "pairs"), [(3, 5), (5, 10), (10, 20)])
def test_the_interval_holds_the_true_ratio(processes, pairs, noise):
    runs = 400
    covered = 0
    for _ in range(runs):
        low, high = ratio(*simulated(0.6, processes, pairs, *noise)).interval
        covered += low <= 0.6 <= high
    assert covered / runs > 0.92


@pytest.mark.parametrize("noise", [QUIET, BUSY, WALL], ids=["quiet", "busy", "busy, wall time"])
def test_equal_builds_are_hardly_ever_called_different(noise):
    wrong = sum(claimed(1, 5, 10, *noise) in ("faster", "slower") for _ in range(400))
    assert wrong <= 4  # 1%; a control that shares what is wrong with the ratio does not show all of it


@pytest.mark.parametrize(("share", "says"), [(1.3, "slower"), (0.8, "faster")])
def test_builds_that_differ_are_called_so_on_a_busy_machine(share, says):
    assert sum(claimed(share, 5, 10, *BUSY) == says for _ in range(200)) >= 198


def test_three_processes_are_enough_for_an_interval_that_says_something():
    widths = [np.divide(*ratio(*simulated(0.56, 3, 10, *BUSY)).interval[::-1]) for _ in range(200)]
    assert np.quantile(widths, 0.95) < 1.3


def test_blocks_that_were_interrupted_do_not_move_a_ratio():
    other, reference = [[5.0, 5.1, 4.9, 5.0, 500.0]] * 3, [[10.0, 10.1, 9.9, 1000.0, 10.0]] * 3
    assert ratio(other, reference).value == pytest.approx(0.5, rel=0.02)


def test_processes_may_have_different_numbers_of_pairs():
    found = ratio([[1.0, 1.0, 4.0], [2.0]], [[2.0, 2.0, 2.0], [2.0]])
    assert found.value == pytest.approx(np.sqrt(0.5))


def test_one_process_has_no_interval():
    assert ratio([[1.0, 1.01, 0.99]], [[1.0, 1.0, 1.0]]) == Ratio(1.0, None)
    assert widened(Ratio(0.5, None), Ratio(1.0, (0.9, 1.1))).interval is None
    assert widened(Ratio(0.5, (0.4, 0.6)), Ratio(1.0, None)).interval is None


def test_the_control_widens_by_its_own_bias_and_spread():
    found = Ratio(0.71, (0.70, 0.71 * 0.71 / 0.70))
    low, high = widened(found, Ratio(1.001, (0.979, 1.041))).interval
    half = np.hypot(np.log(0.71 / 0.70), np.log(1.041))
    assert (low, high) == (pytest.approx(0.71 * np.exp(-half)), pytest.approx(0.71 * np.exp(half)))
    still = widened(found, Ratio(1.0, (1.0, 1.0))).interval
    assert still == pytest.approx(found.interval)


@pytest.mark.parametrize(
    ("value", "interval", "control", "says"),
    [
        # Seven builds on a quiet machine, whose control was 0.979 to 1.041: once nothing of it was claimed.
        (0.35, (0.34, 0.36), (0.979, 1.041), "faster"),
        (0.71, (0.69, 0.73), (0.979, 1.041), "faster"),
        (0.97, (0.96, 0.98), (0.979, 1.041), "not resolvable here"),
        (0.97, (0.96, 0.98), (0.998, 1.003), "faster"),
        (1.3, (1.25, 1.35), (0.96, 1.02), "slower"),
        (1.3, (1.25, 1.35), (0.6, 1.02), "not resolvable here"),
        (1.0, (0.99, 1.01), (0.99, 1.01), "no difference shown"),
    ],
)
def test_what_is_claimed_depends_on_how_far_from_1_a_ratio_is(value, interval, control, says):
    assert verdict(widened(Ratio(value, interval), Ratio(1.0, control)).interval) == says
