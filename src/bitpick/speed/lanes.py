"""The builds of one engine as they are timed: in fresh processes, next to their float32 and to the reference of all."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Build
from bitpick.errors import BitpickError
from bitpick.measures.clocks import Block
from bitpick.recipe import baseline
from bitpick.speed.bench import Round, Times, contest

MANY = 32  # samples in one run, at most, where throughput is measured
_LEAST_PAIRS, _MOST_PAIRS = 5, 20
_MANY_TIMES = 3
_WARM_SECONDS = 0.5
REFERENCE, CONTROL = "reference", "control"


class Lost(Exception):  # noqa: N818 - it never leaves the timing of a run
    """A build that cannot be opened."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


@dataclass
class Lane:
    """The builds of one engine, which are timed in one process, with what was measured of them.

    Attributes:
        builds: by row id.
        own: the float32 among them, if there is one.
        reference: the key of the reference: one of `builds`, or of a process of its own.
        contenders: those that go on being timed, beside the float32; None is all.
        times: of each team, by the key that it is about.
        rounds: how many were done.
        ended: whether no more are.
    """

    builds: dict[str, Build]
    own: str | None
    reference: str
    contenders: Collection[str] | None = None
    times: dict[str, Times] = field(default_factory=dict)
    memory: dict[str, list[int]] = field(default_factory=dict)
    many: dict[str, list[list[Block]]] = field(default_factory=dict)
    rounds: int = 0
    ended: bool = False

    @property
    def timed(self) -> list[str]:
        """The builds that are timed in the next round."""
        chosen = self.contenders
        return [key for key in self.builds if chosen is None or key in chosen or key in (self.own, self.reference)]

    @property
    def teams(self) -> dict[str, tuple[str, ...]]:
        """Who is timed next to whom, by the key that it is about."""
        found: dict[str, tuple[str, ...]] = {CONTROL: (self.reference, CONTROL)}
        for key in self.timed:
            team = dict.fromkeys(name for name in (self.reference, self.own, key) if name is not None)
            if len(team) > 1:
                found[key] = tuple(team)
        return found

    def narrow(self, contenders: Collection[str]) -> None:
        """Time the contenders alone from now on; without any, nothing more."""
        self.contenders = contenders
        self.ended = self.ended or not set(self.builds) & set(contenders)

    def leave(self, key: str) -> list[str]:
        """Time a build no more; without the float32 or the reference, none of the lane. Returns those that left."""
        gone = [key] if key in self.builds and key not in (self.own, self.reference) else list(self.builds)
        for name in gone:
            del self.builds[name]
        return gone


def lanes(builds: Mapping[str, Build], reference: str) -> list[Lane]:
    """A lane for each engine.

    Args:
        builds: by row id.
        reference: the row that all are compared with.
    """
    found = []
    for name in dict.fromkeys(build.recipe.engine for build in builds.values()):
        mine = {key: build for key, build in builds.items() if build.recipe.engine == name}
        own = baseline(name).id
        found.append(Lane(mine, own if own in mine else None, reference if reference in mine else REFERENCE))
    return found


def start(opened: Round, going: Iterable[Lane], reference: Build, samples: Samples) -> dict[str, str]:
    """Start all processes of a round, two at once: to load a framework is work.

    Returns:
        The builds that left with a process that did not start, each with why.
    """
    going = [lane for lane in going if lane.builds]
    wanted = [([lane], next(iter(lane.builds.values())), "") for lane in going]
    if afar := [lane for lane in going if lane.reference == REFERENCE]:
        wanted += [(afar, reference, apart) for apart in (REFERENCE, CONTROL)]
    left: dict[str, str] = {}

    def begin(concerned: Sequence[Lane], build: Build, apart: str) -> None:
        try:
            opened.start(build, samples, apart)
        except BitpickError as error:
            for lane in concerned:
                left.update(dict.fromkeys(lane.leave(lane.reference), error.line))

    with ThreadPoolExecutor(max_workers=2) as pool:
        try:
            for done in [pool.submit(begin, *each) for each in wanted]:
                done.result()
        except BaseException:
            opened.close()  # the pool would wait for what is still being loaded
            raise
    return left


def race(
    lane: Lane, opened: Round, reference: Build, samples: Samples, seconds: float, rng: np.random.Generator
) -> None:
    """Open a lane's builds, time its teams, and keep the times where all went well.

    Raises:
        Lost: a build cannot be opened or run.
    """
    # How much memory a build takes is told by the first alone: the others are given what it let go. So each is first
    # in turn, whether it is timed or not.
    first = list(lane.builds)[lane.rounds % len(lane.builds)]
    sessions = {key: (lane.builds[key], "") for key in dict.fromkeys((first, *lane.timed))}
    if lane.reference == REFERENCE:
        sessions |= {key: (reference, key) for key in (REFERENCE, CONTROL)}
    else:
        sessions[CONTROL] = (reference, "")
    others = [key for key in sessions if key != first]
    memory = {}
    for key in (first, *map(str, rng.permutation(others))):  # where a session lies in memory is luck, not a property
        build, apart = sessions[key]
        try:
            memory[key] = opened.open(key, build, samples.head(1), _WARM_SECONDS, apart)
        except BitpickError as error:
            raise Lost(key, error.line) from error
    times = _paired(lane, opened, seconds, rng)
    lane.rounds += 1
    for about, team in times.items():
        for key, parts in team.items():
            lane.times.setdefault(about, {}).setdefault(key, []).extend(parts)
    lane.memory.setdefault(first, []).append(memory[first])
    _many(lane, opened, times, samples, seconds, rng)


def _paired(lane: Lane, opened: Round, seconds: float, rng: np.random.Generator) -> dict[str, Times]:
    """Time each team again and again, in random order, for about so long."""
    teams = lane.teams
    times: dict[str, Times] = {about: {key: [[]] for key in team} for about, team in teams.items()}
    end = time.perf_counter() + seconds
    for done in range(_MOST_PAIRS):
        if done >= _LEAST_PAIRS and time.perf_counter() > end:
            break
        for about in (list(teams)[place] for place in rng.permutation(len(teams))):
            try:
                contest(opened, teams[about], rng, times[about])
            except BitpickError as error:  # the others of the team are in all teams
                raise Lost(about if about != CONTROL else lane.reference, error.line) from error
    return times


def _many(
    lane: Lane,
    opened: Round,
    times: Mapping[str, Times],
    samples: Samples,
    seconds: float,
    rng: np.random.Generator,
) -> None:
    """Time runs of many samples, where a round has the time for them; a build that cannot goes without."""
    some, timed = samples.head(samples.at_once(MANY)), lane.timed
    one = [min(block.wall for block in times[key if key in times else CONTROL][key][0]) for key in timed]
    if (_MANY_TIMES + 1) * some.count * sum(one) > seconds:
        return
    for key in (timed[place] for place in rng.permutation(len(timed))):
        try:
            lane.many.setdefault(key, []).append(opened.many(key, some, _MANY_TIMES))
        except BitpickError:  # the process may be gone, and with it the sessions: the next round has new ones
            return
