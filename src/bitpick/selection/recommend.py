"""Recommend the build to ship, and say why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bitpick.schema.evidence import Measure, Metric
from bitpick.schema.run import Recommendation, RequestRecord, Row
from bitpick.selection import phrases
from bitpick.selection.claims import candidates, samples_needed
from bitpick.selection.judge import OF_METRIC
from bitpick.selection.limits import is_dynamic, limits, time_interval, within
from bitpick.tasks.task import Answers, Targets, Task

TIE_LEVEL = 0.05
# Among rows that are good enough, sizes within this share of the smallest count as equal.
SIZE_SLACK = 0.10
# Among those, times within this share of the fastest count as equal. CPU time varies far less, even on a busy machine.
TIME_SLACK = 0.10
# A time is precise if its interval ends within this factor of the middle on both sides.
LOOSE = 1.25
_SHOWN = 3  # rows for which the reasons say what would settle them


def recommend(
    rows: Sequence[Row], answers: Mapping[str, Answers], targets: Targets, task: Task, request: RequestRecord
) -> Recommendation:
    """Choose the build to ship, and say why, with numbers.

    Start from the rows that are shown to lose less than the margin and keep the request's limits. Keep those not slower
    than their own float32, if there are any; then those within 10% of the smallest; then those that take at most 10%
    longer than the fastest, or whose times are too imprecise to say. The most accurate of the rest is chosen.

    Args:
        rows: the rows of one CPU, with their claims.
        answers: answers of each row that is ok, for n samples.
        targets: the targets.
        task: how builds are judged.
        request: the margin, the level, and the limits.
    """
    possible = candidates(rows)
    if not possible:
        return Recommendation(id=None, because=[f"No build can be recommended: {_why_none(rows)}."])
    shown = [row for row in possible if row.versus_baseline is not None and row.versus_baseline.noninferior]
    good = [row for row in shown if within(row, request)]
    unsettled = [row for row in possible if row not in shown]
    measure = task.measure
    if not good:
        none = _none_good(shown, possible[0].metric, request)
        none += phrases.without_labels(measure) if not shown else []
        return Recommendation(id=None, because=[*none, *_what_settles(unsettled, possible, request)])
    chosen = choose(good, request.goal)
    pick, best, smallest = chosen.pick, chosen.accuracy, chosen.size
    ties = [row for row in good if task.versus(answers[best.id], answers[row.id], targets).p_value >= TIE_LEVEL]
    engines = {
        name: choose([row for row in good if row.engine == name]).pick for name in dict.fromkeys(r.engine for r in good)
    }
    tested = f"{len(shown)} of {len(possible)} builds are, all tested at once at a one-sided {100 * request.alpha:g}%"
    under = f"{phrases.drop_of(pick)} against its own float32, shown to be under {phrases.margin(pick, request)}"
    limited = bool(limits(shown, request))
    reasons = [
        f"{phrases.build(pick)} is {_rule(chosen, limited, measure, request.goal)}.",
        f"Good enough: {under}; {tested}.",
    ]
    reasons += phrases.larger(pick)
    reasons += _if_dynamic(good) if is_dynamic(pick) else []
    reasons += [*(phrases.flips_bound(pick) if task.against_float else ()), *phrases.speeds(pick)]
    if pick is not best:
        versus = "which ties with it" if pick in ties else f"which is shown to be {phrases.better(measure)}"
        best_of = phrases.best_by(measure)
        reasons.append(f"{best_of[0].upper()}{best_of[1:]} of the good ones: {phrases.build(best)}, {versus}.")
    if pick is not smallest:
        slow = ", which is slower than its own float32" if smallest.slower and not pick.slower else ""
        reasons.append(f"Smallest of them: {phrases.build(smallest)}{slow}.")
    if chosen.latency is not None and pick is not chosen.latency:
        reasons.append(f"Fastest of them: {phrases.build(chosen.latency)}.")
    reasons += phrases.loosely_timed([row for row in chosen.near if _is_imprecise(row)], LOOSE)
    others = [row.id for row in ties if row not in (best, pick)]
    if others:
        reasons.append(
            f"A tie, not a ranking: {len(targets):,} samples do not show {best.id} to be {phrases.better(measure)} "
            f"than {', '.join(others)}."
        )
    if kept_out := [row for row in shown if row not in good]:
        limited_to = " and ".join(limits(shown, request))
        reasons.append(f"Good enough, but not builds that {limited_to}: {', '.join(map(phrases.build, kept_out))}.")
    reasons += _what_settles(unsettled, possible, request)
    reasons += [
        f"Not recommended, though at least as {measure.good}: {phrases.build(row)}: "
        f"{row.deprecated or row.faults[0].text}."
        for row in rows
        if row.kind == "quantized"
        and row.status == "ok"
        and (row.deprecated or row.faults)
        and _quality(row) >= _quality(best)
    ]
    reasons += [
        f"Best of {name}: {phrases.build(row)}, {phrases.drop_of(row)}."
        for name, row in engines.items()
        if row is not pick
    ]
    if missing_engines := sorted({row.engine for row in possible} - engines.keys()):
        reasons.append(f"Nothing to ship of {', '.join(missing_engines)}.")
    return Recommendation(
        id=pick.id,
        because=reasons,
        by_use={measure.name: best.id, "size": smallest.id}
        | ({"latency": chosen.latency.id} if chosen.latency is not None else {})
        | {name: row.id for name, row in engines.items()},
        ties=[row.id for row in sorted(ties, key=_accuracy_then_size, reverse=True)],
        pareto=[row.id for row in good if not any(_dominates(other, row) for other in good)],
    )


def _if_dynamic(good: Sequence[Row]) -> list[str]:
    """Return what a pick with dynamic activations cannot do, and the best good build with fixed scales."""
    problem = "Microcontrollers cannot run it, because it computes the scales of its activations while it runs"
    fixed = [row for row in good if not is_dynamic(row)]
    instead = (
        f"ship {phrases.build(choose(fixed).pick)} there"
        if fixed
        else "no build with fixed scales is shown to be good enough here"
    )
    return [f"{problem}: {instead}."]


@dataclass(frozen=True)
class Choice:
    """The row to ship, and the best row for each use.

    Attributes:
        near: the rows of about the smallest size, including the pick.
        latency: the row for speed; None if no speed was measured.
    """

    pick: Row
    near: list[Row]
    accuracy: Row
    size: Row
    latency: Row | None


def choose(good: Sequence[Row], goal: str | None = None) -> Choice:
    """Choose among rows that are all good enough; there must be at least one. See `recommend`.

    Args:
        good: the rows.
        goal: what the pick has, see `RequestRecord`.
    """
    not_slower = [row for row in good if not row.slower] or good
    least = min(row.size_bytes or 0 for row in not_slower)
    slack = [row for row in not_slower if (row.size_bytes or 0) <= least * (1 + SIZE_SLACK)]
    timed = [row for row in _as_fast(good) if time_interval(row) is not None]
    balanced = Choice(
        pick=max(_as_fast(slack), key=_accuracy_then_size),
        near=slack,
        accuracy=max(good, key=_accuracy_then_size),
        size=min(good, key=_size_then_accuracy),
        latency=max(timed, key=_accuracy_then_size, default=None),
    )
    return balanced if goal is None else replace(balanced, pick=getattr(balanced, goal) or balanced.pick)


def _as_fast(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that are about as fast as the fastest, and those that were not timed.

    A row is as fast if it takes at most 10% longer than the fastest row with a precise time. If the row with the lowest
    upper bound has no precise time, as when wall time decides on a busy machine, a row is as fast if its interval
    overlaps that row's, so that noise does not decide the choice.
    """
    timed = {row.id: time for row in rows if (time := time_interval(row)) is not None}
    precise = [row for row in rows if row.id in timed and not _is_imprecise(row)]
    surest = min(timed, key=lambda row_id: timed[row_id][1], default=None)
    if any(row.id == surest for row in precise):
        fastest = min(map(_ratio, precise))
        alike = {row.id for row in precise if _ratio(row) <= (1 + TIME_SLACK) * fastest}
    else:
        alike = {row_id for row_id in timed if surest and timed[row_id][0] <= timed[surest][1]}
    return [row for row in rows if row.id in alike or row.id not in timed]


def _ratio(row: Row) -> float:
    """Return a timed row's time over the reference's."""
    assert row.latency is not None
    assert row.latency.ratio_reference is not None
    return row.latency.ratio_reference


def _is_imprecise(row: Row) -> bool:
    """Whether a row was timed imprecisely."""
    time = time_interval(row)
    return time is not None and time[1] > time[0] * LOOSE**2


def _rule(chosen: Choice, limited: bool, measure: Measure, goal: str | None) -> str:
    """Return the rule by which the pick was chosen."""
    if goal is not None:
        words = {"size": "smallest", "latency": "fastest", "accuracy": phrases.best_by(measure)}[goal]
        return f"the {words} build that is shown to be good enough{' and within the limits' if limited else ''}"
    rules = ["shown to be good enough", "within the limits"] if limited else ["shown to be good enough"]
    if chosen.size.slower and not chosen.pick.slower:
        rules.append("not slower than its float32")
    smallest = f"that is {' and '.join(rules)}"
    near = f"build at most 10% larger than the smallest {smallest}"
    most = phrases.best_by(measure) if measure.name == "accuracy" else f"best ({phrases.best_by(measure)})"
    if chosen.latency is None:
        return f"the smallest build {smallest}" if chosen.pick is chosen.size else f"the {most} {near}"
    if time_interval(chosen.pick) is None or _is_imprecise(chosen.pick):
        return f"the {most} {near}, of those that are not shown to be slower than another"
    if any(
        time_interval(row) is not None and _ratio(row) < _ratio(chosen.pick) for row in chosen.near if not row.slower
    ):
        return f"the {most} {near}, of those that take at most 10% longer than the fastest"
    return f"the fastest {near}"


def _why_none(rows: Sequence[Row]) -> str:
    quantized = [row for row in rows if row.kind == "quantized" and row.status == "ok"]
    if not quantized:
        return "no quantized build was made"
    if all(row.faults for row in quantized):
        # A fault unrelated to the metric says more than a large drop.
        first_faults = (min(row.faults, key=lambda flag: flag.code in OF_METRIC) for row in quantized)
        counts = Counter(flag.text for flag in first_faults).most_common(_SHOWN)
        reasons = "; ".join(f"{text} ({count} of them)" if len(counts) > 1 else text for text, count in counts)
        return f"all {len(quantized)} quantized rows are flagged: {reasons}"
    return "all rows that are not flagged are of deprecated engines"


def _none_good(shown: Sequence[Row], metric: Metric | None, request: RequestRecord) -> list[str]:
    if not shown:
        assert metric is not None
        return [f"No build is shown to have a {metric.worsening} of less than {phrases.allowed(metric, request)}."]
    nearest = min(shown, key=_size_then_accuracy)
    problem = f"Of the {len(shown)} builds that are shown to be good enough none does what was asked for"
    limited_to = " and ".join(limits(shown, request))
    return [f"{problem}: {limited_to}. The smallest of them is {phrases.build(nearest)}, {phrases.drop_of(nearest)}."]


def _what_settles(unsettled: Sequence[Row], possible: Sequence[Row], request: RequestRecord) -> list[str]:
    """Return what would settle the rows that are not shown to be good enough, the nearest first."""
    lines = []
    for row in sorted(unsettled, key=_accuracy_then_size, reverse=True)[:_SHOWN]:
        if row.versus_baseline is None:
            lines.append(f"{row.id} has no float32 build to be compared with.")
            continue
        needed = samples_needed(row, len(possible), request.alpha)
        samples_text = f"some {phrases.roughly(needed):,} samples would show it, if it stays so" if needed else ""
        estimate = samples_text or "no number of samples would show it"
        lines.append(f"Not shown to be good enough: {row.id}, {phrases.drop_of(row)}; {estimate}.")
    remaining = len(unsettled) - len(lines)
    last_line = f"{remaining} more {'is' if remaining == 1 else 'are'} not shown to be good enough either."
    return lines + ([last_line] if remaining > 0 else [])


def _dominates(one: Row, other: Row) -> bool:
    """Whether a row is at least as accurate, small and, as far as times show, fast as another, and better in one."""
    first, second = _accuracy_then_size(one), _accuracy_then_size(other)
    time, other_time = time_interval(one), time_interval(other)
    faster = time is not None and other_time is not None and time[1] < other_time[0]
    slower = time is not None and other_time is not None and time[0] > other_time[1]
    return not slower and (first != second or faster) and first[0] >= second[0] and first[1] >= second[1]


def _quality(row: Row) -> float:
    assert row.metric is not None
    return row.metric.quality


def _accuracy_then_size(row: Row) -> tuple[float, int]:
    return _quality(row), -(row.size_bytes or 0)


def _size_then_accuracy(row: Row) -> tuple[int, float]:
    return row.size_bytes or 0, -_quality(row)
