"""The speed of a run's rows: each beside its own float32 and beside one reference for all, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from bitpick.comparison.bench import Round, Times, contest
from bitpick.comparison.listener import Listener
from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Build
from bitpick.errors import BitpickError
from bitpick.executors.executor import Executor
from bitpick.measures.latency import Ratio, ratio, resolvable
from bitpick.recipe import baseline
from bitpick.result import Flag, Row
from bitpick.timing import Latency, Throughput

MANY = 32  # samples in one run, where throughput is measured
THREADS = 1
# A difference smaller than what a control may show of itself is no reason to flag a row.
SLOWER = 1.05
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 10
_OVER = 1.5  # what a budget may be overdrawn by before rows give way
_LEAST_PAIRS, _MOST_PAIRS = 5, 20
_MANY_TIMES = 3
_WARM_SECONDS = 0.5
_REFERENCE, _CONTROL = "reference", "control"


@dataclass(frozen=True)
class Speed:
    """What was measured of one row; `raw` holds every sample, in seconds and bytes."""

    latency: Latency
    throughput: Throughput | None
    memory_bytes: int | None
    raw: Mapping[str, object]


@dataclass
class _Lane:
    """The builds of one engine, which are timed in one process, with what was measured of them.

    Attributes:
        builds: by row id.
        own: the float32 among them, if there is one.
        reference: the key of the reference: one of `builds`, or of a process of its own.
        pairs: how often each team is timed in a round; found in the first.
        rounds: how many were done.
        ended: whether no more are, since one broke when there were enough.
    """

    builds: dict[str, Build]
    own: str | None
    reference: str
    pairs: int = 0
    times: dict[str, Times] = field(default_factory=dict)
    memory: dict[str, list[int]] = field(default_factory=dict)
    many: dict[str, list[list[float]]] = field(default_factory=dict)
    rounds: int = 0
    ended: bool = False

    @property
    def teams(self) -> dict[str, tuple[str, ...]]:
        """Who is timed next to whom, by the key that it is about."""
        found: dict[str, tuple[str, ...]] = {_CONTROL: (self.reference, _CONTROL)}
        for key in self.builds:
            team = dict.fromkeys(name for name in (self.reference, self.own, key) if name is not None)
            if len(team) > 1:
                found[key] = tuple(team)
        return found


class _Lost(Exception):  # noqa: N818 - it never leaves this module
    """A build that cannot be opened."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


def measure(
    builds: Mapping[str, Build],
    reference: str,
    matters: Collection[str],
    samples: Samples,
    executor: Callable[[], Executor],
    budget: float,
    listener: Listener,
    seed: int = 0,
) -> tuple[dict[str, Speed], dict[str, str]]:
    """Time builds in rounds, each in fresh processes, for about as long as the budget says.

    In a round, the float32 and the quantized builds of an engine are open in one process, and the reference, where it
    is another engine's, in another; blocks of the reference, of the engine's float32 and of a build are timed next to
    each other in random order. The reference is open a second time, in yet another process where it is another
    engine's, as a control. Nothing else runs.

    Args:
        builds: by row id, the float32 of their engines among them.
        reference: the row that all are compared with.
        matters: rows that are timed in any case; the others give way where the budget is short.
        samples: where the input comes from.
        executor: makes the workers of a round.
        budget: seconds. Three rounds are done in any case.
        listener: is told how it goes.
        seed: of the order.

    Returns:
        What was measured, and why the rest was not, by row id.
    """
    lanes = _lanes(builds, reference)
    untimed: dict[str, str] = {}
    rng = np.random.default_rng(seed)
    began = time.perf_counter()
    for number in range(_MOST_ROUNDS):
        going = [lane for lane in lanes if lane.builds and not lane.ended]
        spent = time.perf_counter() - began
        if not going or (number >= _LEAST_ROUNDS and spent * (1 + 1 / number) > budget):
            break
        if number == 1 and spent * _LEAST_ROUNDS > _OVER * budget:
            _give_way(going, {reference, *matters}, budget, untimed)
        listener.phase(f"timing, round {number + 1}")
        with Round(executor, THREADS) as opened:
            _start(opened, going, builds[reference], samples, untimed)
            seconds = budget / (2 * _LEAST_ROUNDS * len(going))
            for lane in going:
                while lane.builds and not lane.ended:
                    try:
                        _round(lane, opened, builds[reference], samples, seconds, rng)
                        break
                    except _Lost as lost:
                        lane.ended = lane.rounds >= _LEAST_ROUNDS
                        if not lane.ended:
                            _leave(lane, lost.key, str(lost), untimed)
                            _start(opened, [lane], builds[reference], samples, untimed)
    found: dict[str, Speed] = {}
    for lane in lanes:
        if lane.builds:
            control = ratio(lane.times[_CONTROL][_CONTROL], lane.times[_CONTROL][lane.reference])
            batch = min(MANY, samples.count)
            found |= {key: _speed(lane, key, reference, control, batch) for key in lane.builds}
    return found, untimed


def _lanes(builds: Mapping[str, Build], reference: str) -> list[_Lane]:
    lanes = {}
    for name in dict.fromkeys(build.recipe.engine for build in builds.values()):
        mine = {key: build for key, build in builds.items() if build.recipe.engine == name}
        own = baseline(name).id
        lanes[name] = _Lane(mine, own if own in mine else None, reference if reference in mine else _REFERENCE)
    return list(lanes.values())


def _give_way(lanes: Sequence[_Lane], matters: Collection[str], budget: float, untimed: dict[str, str]) -> None:
    for lane in lanes:
        own = lane.own if set(lane.builds) & set(matters) else None
        for key in [key for key in lane.builds if key not in matters and key != own]:
            untimed[key] = f"the {budget:.3g} seconds for it went to the rows that may be recommended"
            del lane.builds[key]


def _leave(lane: _Lane, key: str, reason: str, untimed: dict[str, str]) -> None:
    """Time a build no more; without the float32 or the reference, none of the lane."""
    gone = [key] if key in lane.builds and key not in (lane.own, lane.reference) else list(lane.builds)
    for name in gone:
        del lane.builds[name]
        untimed[name] = reason


def _start(opened: Round, lanes: Sequence[_Lane], reference: Build, samples: Samples, untimed: dict[str, str]) -> None:
    """Start all processes of a round, two at once: to load a framework is work."""
    wanted = [([lane], next(iter(lane.builds.values())), "") for lane in lanes if lane.builds]
    if afar := [lane for lane in lanes if lane.builds and lane.reference == _REFERENCE]:
        wanted += [(afar, reference, apart) for apart in (_REFERENCE, _CONTROL)]

    def start(concerned: Sequence[_Lane], build: Build, apart: str) -> None:
        try:
            opened.start(build, samples, apart)
        except BitpickError as error:
            for lane in concerned:
                _leave(lane, lane.reference, error.line, untimed)

    with ThreadPoolExecutor(max_workers=2) as pool:
        try:
            for done in [pool.submit(start, *each) for each in wanted]:
                done.result()
        except BaseException:
            opened.close()  # the pool would wait for what is still being loaded
            raise


def _round(
    lane: _Lane, opened: Round, reference: Build, samples: Samples, seconds: float, rng: np.random.Generator
) -> None:
    """Open a lane's builds, time its teams, and keep the times where all went well."""
    sessions = [(key, build, "") for key, build in lane.builds.items()]
    if lane.reference == _REFERENCE:
        sessions += [(key, reference, key) for key in (_REFERENCE, _CONTROL)]
    else:
        sessions.append((_CONTROL, reference, ""))
    # Where a session lies in memory is luck, not a property. How much memory it takes is told by the first alone: the
    # others are given what it let go.
    first = lane.rounds % len(lane.builds)
    order = [first, *(int(place) for place in rng.permutation(len(sessions)) if place != first)]
    memory = {}
    for key, build, apart in (sessions[place] for place in order):
        try:
            memory[key] = opened.open(key, build, samples.head(1), _WARM_SECONDS, apart)
        except BitpickError as error:
            raise _Lost(key, error.line) from error
    teams = lane.teams
    times: dict[str, Times] = {about: {key: [[]] for key in team} for about, team in teams.items()}
    end = time.perf_counter() + seconds
    for done in range(lane.pairs or _MOST_PAIRS):
        if not lane.pairs and done >= _LEAST_PAIRS and time.perf_counter() > end:
            break
        for about in (list(teams)[place] for place in rng.permutation(len(teams))):
            try:
                contest(opened, teams[about], rng, times[about])
            except BitpickError as error:  # the others of the team are in all teams
                raise _Lost(about if about != _CONTROL else lane.reference, error.line) from error
    lane.pairs = lane.pairs or len(times[_CONTROL][_CONTROL][0])
    lane.rounds += 1
    for about, team in times.items():
        for key, parts in team.items():
            lane.times.setdefault(about, {}).setdefault(key, []).extend(parts)
    key = list(lane.builds)[first]
    lane.memory.setdefault(key, []).append(memory[key])
    _many(lane, opened, times, samples, seconds, rng)


def _many(
    lane: _Lane,
    opened: Round,
    times: Mapping[str, Times],
    samples: Samples,
    seconds: float,
    rng: np.random.Generator,
) -> None:
    """Time runs of many samples, where a round has the time for them; a build that cannot goes without."""
    some = samples.head(MANY)
    one = {key: min(times[key if key in times else _CONTROL][key][0]) for key in lane.builds}
    if (_MANY_TIMES + 1) * some.count * sum(one.values()) > seconds:
        return
    for key in (list(lane.builds)[place] for place in rng.permutation(len(lane.builds))):
        try:
            lane.many.setdefault(key, []).append(opened.many(key, some, _MANY_TIMES))
        except BitpickError:  # the process may be gone, and with it the sessions: the next round has new ones
            return


def _speed(lane: _Lane, key: str, reference: str, control: Ratio, batch: int) -> Speed:
    """What the times of all rounds say of one row."""
    teams = [lane.times[key]] if key in lane.times else [team for team in lane.times.values() if key in team]
    own_blocks = [part for team in teams for part in team[key]]
    beside = lane.times.get(key, {})

    def to(other: str | None) -> Ratio | None:
        return ratio(beside[key], beside[other]) if other is not None and other != key and other in beside else None

    to_own, to_reference = to(lane.own), to(lane.reference)
    blocks = np.concatenate([np.asarray(part) for part in own_blocks])
    latency = Latency(
        p50=float(np.quantile(blocks, 0.5)),
        p90=float(np.quantile(blocks, 0.9)),
        ratio_own=to_own.value if to_own else None,
        ratio_own_interval=to_own.interval if to_own else None,
        reference=reference,
        ratio_reference=to_reference.value if to_reference else None,
        ratio_reference_interval=to_reference.interval if to_reference else None,
        control=control.value,
        control_interval=control.interval,
        resolvable=resolvable(control),
        threads=THREADS,
        processes=lane.rounds,
        pairs=lane.pairs * lane.rounds,
    )
    many = lane.many.get(key)
    throughput = None
    if many:
        middle = np.median([np.median(part) for part in many])
        throughput = Throughput(batch=batch, threads=THREADS, samples_per_second=float(batch / middle))
    memory = lane.memory.get(key)
    raw = {
        "unit": "seconds",
        "row": own_blocks,
        "own_float32": beside.get(lane.own or ""),
        "reference": beside.get(lane.reference),
        "control": lane.times[_CONTROL],
        "many": many,
        "memory_bytes": memory,
    }
    return Speed(latency, throughput, int(np.median(memory)) if memory else None, raw)


def with_speed(row: Row, speed: Speed) -> Row:
    """A row with its speed, flagged where it is shown to be slower than its own float32."""
    latency = speed.latency
    flags = row.faults
    if latency.resolvable and latency.ratio_own_interval is not None and latency.ratio_own_interval[0] > SLOWER:
        low, high = latency.ratio_own_interval
        text = f"takes {latency.ratio_own:.2f} times as long as its own float32 (95% interval {low:.2f} to {high:.2f})"
        flags.append(Flag(code="slower_than_float", text=text))
    measured = {"latency": latency, "throughput": speed.throughput, "memory_bytes": speed.memory_bytes}
    return row.model_copy(update=measured | {"flags": flags})
