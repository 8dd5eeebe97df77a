"""Time the builds of one engine in fresh processes, next to their float32 and the common reference."""

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

MANY = 32  # the largest batch to measure throughput with
_LEAST_PAIRS, _MOST_PAIRS = 5, 20
_MANY_TIMES = 3
_WARM_SECONDS = 0.5
REFERENCE, CONTROL = "reference", "control"


class OpenFailure(Exception):  # noqa: N818 - it is caught within the timing of a run
    """A build cannot be opened or run."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


@dataclass
class Lane:
    """The builds of one engine, timed in one process, and their measurements.

    Attributes:
        builds: the builds, by row id.
        own: the key of the float32 among them, if there is one.
        reference: the key of the reference: one of `builds`, or `REFERENCE` in a process of its own.
        contenders: the builds still timed, besides the float32; None is all.
        times: the times of each team, by the key that the team is about.
        memory: memory of a build in bytes, one value for each round it opened first, by key.
        many: blocks of runs of many samples, by key.
        rounds: the number of rounds done.
        ended: whether no more rounds are done.
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
        """The builds to time in the next round."""
        contenders = self.contenders
        return [
            key for key in self.builds if contenders is None or key in contenders or key in (self.own, self.reference)
        ]

    @property
    def teams(self) -> dict[str, tuple[str, ...]]:
        """The teams of keys timed next to each other, by the key that a team is about."""
        teams: dict[str, tuple[str, ...]] = {CONTROL: (self.reference, CONTROL)}
        for key in self.timed:
            team = dict.fromkeys(name for name in (self.reference, self.own, key) if name is not None)
            if len(team) > 1:
                teams[key] = tuple(team)
        return teams

    def narrow(self, contenders: Collection[str]) -> None:
        """Time only the contenders from now on; without any here, the lane ends."""
        self.contenders = contenders
        self.ended = self.ended or not set(self.builds) & set(contenders)

    def leave(self, key: str) -> list[str]:
        """Stop timing a build, or the whole lane if it is the float32 or the reference; return the builds that left."""
        left = [key] if key in self.builds and key not in (self.own, self.reference) else list(self.builds)
        for name in left:
            del self.builds[name]
        return left


def lanes(builds: Mapping[str, Build], reference: str) -> list[Lane]:
    """Return a lane for each engine.

    Args:
        builds: the builds, by row id.
        reference: the id of the row that all are compared with.
    """
    engine_lanes = []
    for name in dict.fromkeys(build.recipe.engine for build in builds.values()):
        engine_builds = {key: build for key, build in builds.items() if build.recipe.engine == name}
        own = baseline(name).id
        engine_lanes.append(
            Lane(
                engine_builds,
                own if own in engine_builds else None,
                reference if reference in engine_builds else REFERENCE,
            )
        )
    return engine_lanes


def start(opened: Round, active: Iterable[Lane], reference: Build, samples: Samples) -> dict[str, str]:
    """Start all processes of a round, two at a time, because loading a framework takes CPU time.

    Returns:
        The builds whose process did not start, each with the reason.
    """
    active = [lane for lane in active if lane.builds]
    processes = [([lane], next(iter(lane.builds.values())), "") for lane in active]
    if remote := [lane for lane in active if lane.reference == REFERENCE]:
        processes += [(remote, reference, apart) for apart in (REFERENCE, CONTROL)]
    failed: dict[str, str] = {}

    def start_process(affected: Sequence[Lane], build: Build, apart: str) -> None:
        try:
            opened.start(build, samples, apart)
        except BitpickError as error:
            for lane in affected:
                failed.update(dict.fromkeys(lane.leave(lane.reference), error.line))

    with ThreadPoolExecutor(max_workers=2) as pool:
        try:
            for future in [pool.submit(start_process, *process) for process in processes]:
                future.result()
        except BaseException:
            opened.close()  # otherwise the pool would wait for processes that are still loading
            raise
    return failed


def time_round(
    lane: Lane, opened: Round, reference: Build, samples: Samples, seconds: float, rng: np.random.Generator
) -> None:
    """Open a lane's builds and time its teams; keep the times only if all goes well.

    Raises:
        OpenFailure: a build cannot be opened or run.
    """
    # Only the first build opened shows its own memory, since later ones reuse what it frees. So the builds take turns
    # at being first, whether they are timed or not.
    first = list(lane.builds)[lane.rounds % len(lane.builds)]
    sessions = {key: (lane.builds[key], "") for key in dict.fromkeys((first, *lane.timed))}
    if lane.reference == REFERENCE:
        sessions |= {key: (reference, key) for key in (REFERENCE, CONTROL)}
    else:
        sessions[CONTROL] = (reference, "")
    others = [key for key in sessions if key != first]
    memory_grown = {}
    # A session's place in memory is luck, not a property of the build: hence the random order.
    for key in (first, *map(str, rng.permutation(others))):
        build, apart = sessions[key]
        try:
            memory_grown[key] = opened.open(key, build, samples.head(1), _WARM_SECONDS, apart)
        except BitpickError as error:
            raise OpenFailure(key, error.line) from error
    times = _time_teams(lane, opened, seconds, rng)
    lane.rounds += 1
    for subject, team in times.items():
        for key, blocks in team.items():
            lane.times.setdefault(subject, {}).setdefault(key, []).extend(blocks)
    lane.memory.setdefault(first, []).append(memory_grown[first])
    _time_batches(lane, opened, times, samples, seconds, rng)


def _time_teams(lane: Lane, opened: Round, seconds: float, rng: np.random.Generator) -> dict[str, Times]:
    """Time each team again and again, in random order, for about `seconds`."""
    teams = lane.teams
    times: dict[str, Times] = {subject: {key: [[]] for key in team} for subject, team in teams.items()}
    end = time.perf_counter() + seconds
    for count in range(_MOST_PAIRS):
        if count >= _LEAST_PAIRS and time.perf_counter() > end:
            break
        for subject in (list(teams)[index] for index in rng.permutation(len(teams))):
            try:
                contest(opened, teams[subject], rng, times[subject])
            except BitpickError as error:  # the other members of the team are in all teams
                raise OpenFailure(subject if subject != CONTROL else lane.reference, error.line) from error
    return times


def _time_batches(
    lane: Lane,
    opened: Round,
    times: Mapping[str, Times],
    samples: Samples,
    seconds: float,
    rng: np.random.Generator,
) -> None:
    """Time runs of many samples if the round has time for them; skip a build that cannot run them."""
    batch, timed = samples.head(samples.at_once(MANY)), lane.timed
    fastest = [min(block.wall for block in times[key if key in times else CONTROL][key][0]) for key in timed]
    if (_MANY_TIMES + 1) * batch.count * sum(fastest) > seconds:
        return
    for key in (timed[index] for index in rng.permutation(len(timed))):
        try:
            lane.many.setdefault(key, []).append(opened.many(key, batch, _MANY_TIMES))
        except BitpickError:  # the process may be gone with its sessions; the next round opens new ones
            return
