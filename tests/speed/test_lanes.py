"""Who is timed next to whom, and what a build that breaks takes with it; nothing is timed here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitpick.engines.engine import Build
from bitpick.errors import WorkerError
from bitpick.measures.clocks import Block
from bitpick.recipe import Recipe
from bitpick.speed import lanes as module
from bitpick.speed.lanes import CONTROL, REFERENCE, OpenFailure, lanes, start, time_round

FLOAT, PLAIN, OTHER = "fake:float32", "fake:s8s8-per_tensor-minmax", "fake:s8u8-per_channel-minmax"
ELSEWHERE = "onnxruntime:float32"


def builds(*ids):
    return {each: Build(Recipe.parse(each), Path(each), ("m",)) for each in ids}


def lane(*ids, reference=ELSEWHERE):
    """The only lane of these builds."""
    (found,) = lanes(builds(*ids), reference)
    return found


BLOCK = Block(1e-6, 1e-6, 1e-6, 0)


class Opened:
    """A round in which everything takes no time, and that fails where it is told to."""

    def __init__(self, broken=()):
        self.broken, self.started, self.opened, self.teams, self.ran = broken, [], [], [], []
        self.closed = False

    def _may(self, *what):
        if what in self.broken:
            raise WorkerError(f"it broke in {' '.join(what)}")

    def start(self, build, samples, apart=""):
        self.started.append((build.recipe.id, apart))
        self._may("start", build.recipe.id)

    def open(self, key, build, samples, warm_seconds, apart=""):
        self.opened.append((key, build.recipe.id, apart))
        self._may("open", key)
        return 100 * len(self.opened)

    def time(self, keys):
        self.teams.append(set(keys))
        for key in keys:
            self._may("time", key)
        return dict.fromkeys(keys, BLOCK)

    def many(self, key, samples, times):
        self._may("many", key)
        self.ran.append(key)
        return [BLOCK] * times

    def close(self):
        self.closed = True


@pytest.fixture
def samples(dataset):
    return dataset.samples(dataset.evaluation)


@pytest.fixture
def run(samples, monkeypatch):
    """Race a lane for one round."""
    monkeypatch.setattr(module, "_MOST_PAIRS", 5)
    reference = builds(ELSEWHERE)[ELSEWHERE]

    def once(one, opened=None, seconds=1.0):
        opened = opened or Opened()
        time_round(one, opened, reference, samples, seconds, np.random.default_rng(0))
        return opened

    return once


def test_each_engine_is_a_lane_with_its_float_and_one_has_the_reference(samples):
    fake, other = lanes(builds(FLOAT, PLAIN, ELSEWHERE), ELSEWHERE)
    assert (list(fake.builds), fake.own, fake.reference) == ([FLOAT, PLAIN], FLOAT, REFERENCE)
    assert (list(other.builds), other.own, other.reference) == ([ELSEWHERE], ELSEWHERE, ELSEWHERE)
    assert lane(PLAIN).own is None


def test_a_build_is_timed_next_to_its_float_and_the_reference():
    assert lane(FLOAT, PLAIN).teams == {
        CONTROL: (REFERENCE, CONTROL),
        FLOAT: (REFERENCE, FLOAT),
        PLAIN: (REFERENCE, FLOAT, PLAIN),
    }
    assert lane(FLOAT, PLAIN, reference=FLOAT).teams == {CONTROL: (FLOAT, CONTROL), PLAIN: (FLOAT, PLAIN)}


def test_contenders_go_on_alone_with_their_float():
    one = lane(FLOAT, PLAIN, OTHER)
    one.narrow([OTHER, "litert:s8dynamic"])
    assert (one.timed, one.ended) == ([FLOAT, OTHER], False)
    one.narrow(["litert:s8dynamic"])
    assert one.ended


def test_a_build_leaves_alone_and_the_float_and_the_reference_take_all_with_them():
    one = lane(FLOAT, PLAIN, OTHER)
    assert one.leave(PLAIN) == [PLAIN]
    assert list(one.builds) == [FLOAT, OTHER]
    assert one.leave(FLOAT) == [FLOAT, OTHER]
    assert one.builds == {}
    assert lane(FLOAT, PLAIN).leave(REFERENCE) == [FLOAT, PLAIN]
    assert lane(FLOAT, PLAIN, reference=FLOAT).leave(FLOAT) == [FLOAT, PLAIN]


def test_a_process_for_each_engine_and_two_for_a_reference_of_another(samples):
    given = builds(FLOAT, PLAIN, ELSEWHERE)
    opened = Opened()
    assert start(opened, lanes(given, ELSEWHERE), given[ELSEWHERE], samples) == {}
    assert sorted(opened.started) == sorted(
        [(FLOAT, ""), (ELSEWHERE, ""), (ELSEWHERE, REFERENCE), (ELSEWHERE, CONTROL)]
    )
    opened = Opened()
    start(opened, lanes(given, FLOAT)[:1], given[FLOAT], samples)
    assert opened.started == [(FLOAT, "")]


def test_a_process_that_does_not_start_takes_its_lane_and_says_why(samples):
    given = builds(FLOAT, PLAIN, ELSEWHERE)
    found = lanes(given, ELSEWHERE)
    left = start(Opened([("start", FLOAT)]), found, given[ELSEWHERE], samples)
    assert left == dict.fromkeys([FLOAT, PLAIN], f"it broke in start {FLOAT}")
    assert [list(each.builds) for each in found] == [[], [ELSEWHERE]]


def test_what_nobody_foresaw_ends_the_processes_that_were_started(samples):
    class Odd(Opened):
        def start(self, *_):
            raise KeyError("state")

    opened, given = Odd(), builds(FLOAT)
    with pytest.raises(KeyError):
        start(opened, lanes(given, FLOAT), given[FLOAT], samples)
    assert opened.closed


def test_each_team_is_timed_again_and_again_and_each_build_is_opened_first_in_turn(run):
    one = lane(FLOAT, PLAIN)
    rounds = [run(one) for _ in range(3)]
    assert [each.opened[0][0] for each in rounds] == [FLOAT, PLAIN, FLOAT]
    assert sorted(rounds[0].opened) == sorted(
        [(FLOAT, FLOAT, ""), (PLAIN, PLAIN, ""), (REFERENCE, ELSEWHERE, REFERENCE), (CONTROL, ELSEWHERE, CONTROL)]
    )
    assert one.memory == {FLOAT: [100, 100], PLAIN: [100]}  # that of the first alone says something
    sizes = {about: {key: [len(part) for part in team[key]] for key in team} for about, team in one.times.items()}
    assert sizes == {
        CONTROL: {REFERENCE: [5] * 3, CONTROL: [5] * 3},
        FLOAT: {REFERENCE: [5] * 3, FLOAT: [5] * 3},
        PLAIN: {REFERENCE: [5] * 3, FLOAT: [5] * 3, PLAIN: [5] * 3},
    }
    assert one.rounds == 3
    assert {key: len(parts) for key, parts in one.many.items()} == {FLOAT: 3, PLAIN: 3}


@pytest.mark.parametrize(
    ("broken", "lost"),
    [
        (("open", PLAIN), PLAIN),
        (("open", REFERENCE), REFERENCE),
        (("time", PLAIN), PLAIN),
    ],
)
def test_a_build_that_breaks_is_named_and_nothing_of_the_round_is_kept(run, broken, lost):
    one = lane(FLOAT, PLAIN)
    with pytest.raises(OpenFailure, match=f"it broke in {' '.join(broken)}") as raised:
        run(one, Opened([broken]))
    assert raised.value.key == lost
    assert (one.rounds, one.times, one.memory, one.many) == (0, {}, {}, {})


def test_a_control_that_breaks_is_the_reference(run):
    with pytest.raises(OpenFailure) as raised:
        run(lane(FLOAT, PLAIN, reference=FLOAT), Opened([("time", CONTROL)]))
    assert raised.value.key == FLOAT


def test_a_build_that_cannot_take_many_samples_keeps_its_other_times(run):
    one = lane(FLOAT, PLAIN)
    run(one, Opened([("many", PLAIN)]))
    assert PLAIN not in {key for key, parts in one.many.items() if parts}
    assert one.times[PLAIN]


def test_many_samples_are_left_out_where_a_round_has_no_time_for_them(run):
    one = lane(FLOAT, PLAIN)
    assert run(one, seconds=1e-6).ran == []
    assert one.many == {}
