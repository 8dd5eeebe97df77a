"""Check builds on other CPUs, repair those that behave differently, and choose what to ship for each CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pydantic import TypeAdapter

from bitpick.comparison.dead_ends import next_steps
from bitpick.comparison.rows import Rows
from bitpick.engines.capability import Offer
from bitpick.engines.registry import engine
from bitpick.schema.run import Recommendation, RequestRecord, Row
from bitpick.selection.cross_fit import cross_fit
from bitpick.selection.recommend import recommend
from bitpick.targets.host import Host
from bitpick.targets.target import AVX2, VNNI, Target
from bitpick.tasks.classification import Classification
from bitpick.tasks.task import Answers, Targets, Task


class Table(Protocol):
    """Rows with their builds' answers for the evaluation set; see `Rows`."""

    @property
    def all(self) -> Sequence[Row]:
        """The rows of every target."""

    @property
    def native(self) -> Sequence[Row]:
        """The rows of this host."""

    @property
    def predicted(self) -> Mapping[str, Answers]:
        """The answers of each row of this host that is ok."""

    @property
    def targets(self) -> Targets:
        """The targets."""

    @property
    def task(self) -> Task:
        """How builds are judged."""


def check(rows: Rows, request: RequestRecord, host: Host, measure_times: Callable[[], None]) -> Recommendation:
    """Recommend builds, and check them on the requested targets.

    If the request names none, the builds that would be recommended are checked for x86 CPUs without VNNI. If a build
    behaves differently there, its repairs are added as rows.

    Args:
        rows: the measured rows of this host; rows may be added.
        request: the request.
        host: this machine.
        measure_times: measures the speed of rows that have none yet.
    """
    to_check = [TypeAdapter(Target).validate_python(fields) for fields in request.target_fields.values()]
    if to_check:
        count = -1
        while count != len(rows.native):  # repairs for one target are measured on all targets
            count = len(rows.native)
            for target in to_check:
                _measure(rows, target, [row for row in rows.native if row.status == "ok" and row.kind != "baseline"])
    elif not request.targets and AVX2.missing(host) is None and VNNI & set(host.isa):
        while unchecked := _unchecked(rows, AVX2, request):  # a repair may become the best
            _measure(rows, AVX2, unchecked)
            rows.claim(request.alpha)
            measure_times()
        to_check = [AVX2]
    rows.claim(request.alpha)
    measure_times()
    recommendation = _recommend(rows, rows.native, request)
    hints = next_steps(rows.native, request, rows.task) if recommendation.id is None else []
    by_target = {"host": recommendation.id} if recommendation.id else {}
    recommendation = recommendation.model_copy(
        update={"because": [*recommendation.because, *hints], "by_target": by_target}
    )
    for name in [target.name for target in to_check] + _imported(rows):
        recommendation = choose(recommendation, name, rows, request)
    if not request.targets and recommendation.id and VNNI & set(host.isa) and (reason := AVX2.missing(host)):
        recommendation = _because(
            recommendation, f"Not checked for {AVX2.name} (x86 CPUs without VNNI, where 8-bit sums saturate): {reason}."
        )
    return recommendation


def _because(recommendation: Recommendation, reason: str) -> Recommendation:
    return recommendation.model_copy(update={"because": [*recommendation.because, reason]})


def _imported(rows: Table) -> list[str]:
    """Return the devices that rows were imported from."""
    return list(dict.fromkeys(row.target for row in rows.all if row.measured == "imported"))


def _recommend(rows: Table, candidates: Sequence[Row], request: RequestRecord) -> Recommendation:
    method = cross_fit if request.selection == "cross-fit" else recommend
    return method(candidates, rows.predicted, rows.targets, rows.task, request)


def _unchecked(rows: Rows, target: Target, request: RequestRecord) -> list[Row]:
    """Return the builds that would be recommended and are not measured on a target yet."""
    recommendation = _recommend(rows, rows.native, request)
    chosen = {
        recommendation.id,
        *(recommendation.by_use.get(use) for use in (rows.task.measure.name, "size", "latency")),
    }
    return [row for row in rows.native if row.id in chosen and f"{row.id}@{target.name}" not in rows.known]


def _measure(rows: Rows, target: Target, native: Sequence[Row]) -> None:
    """Measure builds on a target, and repairs of those whose sums saturate there."""
    rows.measure_on(target, [row for row in native if f"{row.id}@{target.name}" not in rows.known])
    by_recipe = _rows_on(rows, target.name)
    broken = [row for row in native if target.saturates and row.id in by_recipe and _flips(by_recipe[row.id])]
    repairs = {repair.id: repair for row in broken for repair in engine(row.engine).repairs(row.quantization)}
    rows.measure([Offer(recipe, frozenset()) for recipe in repairs.values() if recipe.id not in rows.known])
    built = [row for row in rows.native if row.id in repairs and row.status == "ok"]
    rows.measure_on(target, [row for row in built if f"{row.id}@{target.name}" not in rows.known])


def choose(recommendation: Recommendation, name: str, rows: Table, request: RequestRecord) -> Recommendation:
    """Return the recommendation with a new choice of the build to ship for a target, and the reason."""
    prefix = f"On {name} ("
    by_target = {target: build for target, build in recommendation.by_target.items() if target != name}
    because = [reason for reason in recommendation.because if not reason.startswith(prefix)]
    recommendation = recommendation.model_copy(update={"because": because, "by_target": by_target})
    by_recipe = _rows_on(rows, name)
    measured = {recipe: row for recipe, row in by_recipe.items() if row.status == "ok"}
    if not measured:
        reason = f"Nothing could be measured on {name}: {next(iter(by_recipe.values())).reason}." if by_recipe else ""
        return _because(recommendation, reason) if reason else recommendation
    unchanged = [row for row in rows.native if row.id in measured and not _flips(measured[row.id])]
    samples = max(row.samples or 0 for row in measured.values())
    how = next(iter(measured.values())).measured
    prefix += "" if how == "native" else f"{how}, "
    still_good = recommendation.id is not None and any(row.id == recommendation.id for row in unchanged)
    chosen = recommendation.id if still_good else _recommend(rows, unchanged, request).id
    verb = "predict" if isinstance(rows.task, Classification) else "answer"
    verdict = _verdict(recommendation, chosen, measured, unchanged, verb)
    if chosen is not None:
        by_target = {**by_target, name: chosen}
        verdict += _time_text(measured[chosen])
    return _because(
        recommendation.model_copy(update={"by_target": by_target}), f"{prefix}{samples:,} samples) {verdict}"
    )


def _time_text(row: Row) -> str:
    """Return a sentence on how long a build takes on its device; it compares no builds."""
    if row.device is None or row.device.p50 is None:
        return ""
    threads = f"{row.device.threads} thread{'' if row.device.threads == 1 else 's'}"
    return f" It takes {1e6 * row.device.p50:.0f} µs there (median of {row.device.runs:,} runs, {threads})."


def _verdict(
    recommendation: Recommendation, chosen: str | None, measured: Mapping[str, Row], unchanged: Sequence[Row], verb: str
) -> str:
    recommended = measured.get(recommendation.id or "")
    if chosen is not None and chosen == recommendation.id:
        return f"{chosen} {verb}s the same as here: it holds there too."
    problem = (
        f"{recommendation.id}: {recommended.flags[0].text}. " if recommended is not None and recommended.flags else ""
    )
    if chosen is not None:
        return f"{problem}Ship {chosen} there: no {'prediction' if verb == 'predict' else 'answer'} differs."
    if not unchanged:
        return f"{problem}No build that was checked {verb}s what it {verb}s here: none is recommended for it."
    return (
        f"{problem}{len(unchanged)} of {len(measured)} builds {verb} the same as here; none is recommended, see above."
    )


def _rows_on(rows: Table, name: str) -> dict[str, Row]:
    """Return the rows of a target, by recipe."""
    return {row.recipe: row for row in rows.all if row.target == name}


def _flips(row: Row) -> int:
    return row.versus_native.flips if row.versus_native is not None else 0
