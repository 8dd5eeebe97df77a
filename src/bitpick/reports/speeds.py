"""Times, their ratios and what builds need of memory, in words."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.reports import words
from bitpick.schema.run import Row, Run
from bitpick.schema.speed import BenchRecord, Clock, verdict


def latency(row: Row) -> str:
    """The median time for one sample, e.g. `263 µs`, by the clock that its ratios are from."""
    return "" if row.latency is None else words.microseconds(row.latency.time)


def wall(row: Row) -> str:
    """The median and the 90th percentile of wall time for one sample, e.g. `270 µs, 90%: 512 µs`."""
    found = row.latency
    return "" if found is None else f"{words.microseconds(found.p50)}, 90%: {words.microseconds(found.p90)}"


def ratio_own(row: Row) -> str:
    """The time of a row over that of its engine's float32, e.g. `0.45 (0.44 to 0.46)`; under 1 is faster."""
    found = row.latency
    return "" if found is None else _ratio(found.ratio_own, found.ratio_own_interval)


def ratio_reference(row: Row) -> str:
    """The time of a row over that of the reference of all rows, e.g. `0.45 (0.44 to 0.46)`; under 1 is faster."""
    found = row.latency
    if found is not None and found.reference == row.id:
        return "the reference"
    return "" if found is None else _ratio(found.ratio_reference, found.ratio_reference_interval)


def ratio_wall(row: Row) -> str:
    """The same ratio in wall time, whichever clock decides."""
    found = row.latency
    return "" if found is None or found.ratio_reference_wall is None else f"{found.ratio_reference_wall:.2f}"


def time_beside(row: Row) -> str:
    """The time of a row over the reference's in few characters: `0.45`, `0.99?` if not resolvable; `1` is that."""
    found = row.latency
    if found is None or (found.ratio_reference is None and found.reference != row.id):
        return ""
    if found.ratio_reference is None:
        return "1"
    unsure = verdict(found.ratio_reference_interval) == "not resolvable here"
    return f"{found.ratio_reference:.2f}{'?' if unsure else ''}"


def _ratio(value: float | None, bounds: tuple[float, float] | None) -> str:
    if value is None:
        return ""
    shown = f" ({words.interval(*bounds)})" if bounds else ""
    return f"{value:.2f}{shown}{', not resolvable here' if verdict(bounds) == 'not resolvable here' else ''}"


def clocks(timed: Sequence[tuple[str, Clock, str | None]]) -> str:
    """Which clock ratios are from, in sentences, with the reason for wall time; empty without times.

    Args:
        timed: what each build is called, its clock, and why that is wall time.
    """
    by_wall: dict[str, list[str]] = {}
    for name, clock, reason in timed:
        if clock == "wall":
            by_wall.setdefault(reason or "an older version measured nothing else", []).append(name)
    if not timed:
        return ""
    if sum(map(len, by_wall.values())) == len(timed):
        return f"Ratios are of wall time: {'; '.join(by_wall)}."
    told = ["Ratios are of CPU time, which other processes hardly disturb."]
    told += [f"Those of {', '.join(names)} are of wall time: {reason}." for reason, names in by_wall.items()]
    return " ".join(told)


def row_clocks(rows: Sequence[Row]) -> str:
    """Which clock the ratios of rows are from; see `clocks`."""
    return clocks([(row.id, row.latency.clock, row.latency.clock_reason) for row in rows if row.latency is not None])


def untimed(run: Run) -> list[str]:
    """Which rows have no times, in a sentence for each reason."""
    reasons: dict[str, list[str]] = {}
    for row_id, why in run.speed.untimed.items() if run.speed else ():
        reasons.setdefault(why, []).append(row_id)
    return [words.sentence(f"Not timed: {', '.join(names)}: {why}") for why, names in reasons.items()]


def control(record: BenchRecord) -> str:
    """What timing found of the reference beside itself, which makes intervals wider."""
    found = f"{record.control:.3f}"
    if record.control_interval is None:
        few = "One process is too few for intervals, and nothing is claimed."
        return f"Control, the reference beside itself: {found}. {few}"
    low, high = record.control_interval
    return f"Control, the reference beside itself: {found} ({low:.3f} to {high:.3f}), which makes the intervals wider."


def throughput(row: Row) -> str:
    """How many samples a second, e.g. `12,345 a second`."""
    return "" if row.throughput is None else f"{row.throughput.samples_per_second:,.0f} a second"


def memory(row: Row) -> str:
    """How much a process grows as it opens the build and runs one sample."""
    return "" if row.memory_bytes is None else words.megabytes(row.memory_bytes)
