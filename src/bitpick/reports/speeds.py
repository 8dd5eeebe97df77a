"""Format times, their ratios and memory."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.reports import words
from bitpick.schema.run import Row, Run
from bitpick.schema.speed import BenchRecord, Clock, verdict


def latency(row: Row) -> str:
    """Format the time for one sample on the clock of the ratios, e.g. `263 µs`."""
    return "" if row.latency is None else words.microseconds(row.latency.time)


def wall(row: Row) -> str:
    """Format the median and the 90th percentile of wall time for one sample, e.g. `270 µs, 90%: 512 µs`."""
    latency = row.latency
    return "" if latency is None else f"{words.microseconds(latency.p50)}, 90%: {words.microseconds(latency.p90)}"


def ratio_own(row: Row) -> str:
    """Format the ratio to the engine's float32, e.g. `0.45 (0.44 to 0.46)`; under 1 is faster."""
    latency = row.latency
    return "" if latency is None else _ratio(latency.ratio_own, latency.ratio_own_interval)


def ratio_reference(row: Row) -> str:
    """Format the ratio to the reference of all rows, e.g. `0.45 (0.44 to 0.46)`; under 1 is faster."""
    latency = row.latency
    if latency is not None and latency.reference == row.id:
        return "the reference"
    return "" if latency is None else _ratio(latency.ratio_reference, latency.ratio_reference_interval)


def ratio_wall(row: Row) -> str:
    """Format the ratio to the reference in wall time, whichever clock decides."""
    latency = row.latency
    return "" if latency is None or latency.ratio_reference_wall is None else f"{latency.ratio_reference_wall:.2f}"


def time_beside(row: Row) -> str:
    """Format the ratio to the reference briefly: `0.45`; `0.99?` if not resolvable; `1` for the reference."""
    latency = row.latency
    if latency is None or (latency.ratio_reference is None and latency.reference != row.id):
        return ""
    if latency.ratio_reference is None:
        return "1"
    unsure = verdict(latency.ratio_reference_interval) == "not resolvable here"
    return f"{latency.ratio_reference:.2f}{'?' if unsure else ''}"


def _ratio(value: float | None, bounds: tuple[float, float] | None) -> str:
    if value is None:
        return ""
    shown = f" ({words.interval(*bounds)})" if bounds else ""
    return f"{value:.2f}{shown}{', not resolvable here' if verdict(bounds) == 'not resolvable here' else ''}"


def clocks(timed: Sequence[tuple[str, Clock, str | None]]) -> str:
    """Say which clock the ratios use, with the reasons for wall time; empty without times.

    Args:
        timed: for each build its name, its clock, and the reason for wall time.
    """
    by_wall: dict[str, list[str]] = {}
    for name, clock, reason in timed:
        if clock == "wall":
            by_wall.setdefault(reason or "an older version measured nothing else", []).append(name)
    if not timed:
        return ""
    if sum(map(len, by_wall.values())) == len(timed):
        return f"Ratios are of wall time: {'; '.join(by_wall)}."
    sentences = ["Ratios are of CPU time, which other processes hardly disturb."]
    sentences += [f"Those of {', '.join(names)} are of wall time: {reason}." for reason, names in by_wall.items()]
    return " ".join(sentences)


def row_clocks(rows: Sequence[Row]) -> str:
    """Say which clock the ratios of rows use, see `clocks`."""
    return clocks([(row.id, row.latency.clock, row.latency.clock_reason) for row in rows if row.latency is not None])


def untimed(run: Run) -> list[str]:
    """List the rows without times, in a sentence for each reason."""
    reasons: dict[str, list[str]] = {}
    for row_id, why in run.speed.untimed.items() if run.speed else ():
        reasons.setdefault(why, []).append(row_id)
    return [words.sentence(f"Not timed: {', '.join(names)}: {why}") for why, names in reasons.items()]


def control(record: BenchRecord) -> str:
    """Describe the control, the reference timed against itself, which widens the intervals."""
    ratio = f"{record.control:.3f}"
    if record.control_interval is None:
        reason = "One process is too few for intervals, and nothing is claimed."
        return f"Control, the reference beside itself: {ratio}. {reason}"
    low, high = record.control_interval
    return f"Control, the reference beside itself: {ratio} ({low:.3f} to {high:.3f}), which makes the intervals wider."


def throughput(row: Row) -> str:
    """Format the throughput in samples, e.g. `12,345 a second`."""
    return "" if row.throughput is None else f"{row.throughput.samples_per_second:,.0f} a second"


def memory(row: Row) -> str:
    """Format the memory growth of a process that opens the build and runs one sample."""
    return "" if row.memory_bytes is None else words.megabytes(row.memory_bytes)
