"""Other CPUs: which builds to check there, how to repair one that does not hold, and which to ship for each."""

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
    """Rows with what their builds answer for the evaluation set; see `Rows`."""

    @property
    def all(self) -> Sequence[Row]:
        """Those of every target."""

    @property
    def native(self) -> Sequence[Row]:
        """Those of this host."""

    @property
    def predicted(self) -> Mapping[str, Answers]:
        """Answers of each of these that is ok."""

    @property
    def targets(self) -> Targets:
        """What is right."""

    @property
    def task(self) -> Task:
        """How builds are judged."""


def check(rows: Rows, request: RequestRecord, host: Host, timed: Callable[[], None]) -> Recommendation:
    """Recommend builds, and check them on the targets that were asked for.

    Where none was asked for, the builds that would be recommended are checked for x86 CPUs without VNNI. A build that
    does not hold gets its repairs as rows of their own.

    Args:
        rows: the rows of this host, measured; grows.
        request: what was asked for.
        host: this machine.
        timed: measures the speed of rows that have none yet.
    """
    asked = [TypeAdapter(Target).validate_python(fields) for fields in request.target_fields.values()]
    if asked:
        known = -1
        while known != len(rows.native):  # the repairs that one target asks for are measured on all
            known = len(rows.native)
            for each in asked:
                _measure(rows, each, [row for row in rows.native if row.status == "ok" and row.kind != "baseline"])
    elif not request.targets and AVX2.missing(host) is None and VNNI & set(host.isa):
        while best := _unchecked(rows, AVX2, request):  # a repair can become the best
            _measure(rows, AVX2, best)
            rows.claim(request.alpha)
            timed()
        asked = [AVX2]
    rows.claim(request.alpha)
    timed()
    found = _recommend(rows, rows.native, request)
    more = next_steps(rows.native, request, rows.task) if found.id is None else []
    by_target = {"host": found.id} if found.id else {}
    found = found.model_copy(update={"because": [*found.because, *more], "by_target": by_target})
    for name in [each.name for each in asked] + _imported(rows):
        found = choose(found, name, rows, request)
    if not request.targets and found.id and VNNI & set(host.isa) and (why := AVX2.missing(host)):
        found = _because(
            found, f"Not checked for {AVX2.name} (x86 CPUs without VNNI, where 8-bit sums saturate): {why}."
        )
    return found


def _because(found: Recommendation, reason: str) -> Recommendation:
    return found.model_copy(update={"because": [*found.because, reason]})


def _imported(rows: Table) -> list[str]:
    """The devices that rows were imported from."""
    return list(dict.fromkeys(row.target for row in rows.all if row.measured == "imported"))


def _recommend(rows: Table, among: Sequence[Row], request: RequestRecord) -> Recommendation:
    way = cross_fit if request.selection == "cross-fit" else recommend
    return way(among, rows.predicted, rows.targets, rows.task, request)


def _unchecked(rows: Rows, each: Target, request: RequestRecord) -> list[Row]:
    """The builds that would be recommended, and were not measured on a target yet."""
    found = _recommend(rows, rows.native, request)
    chosen = {found.id, *(found.by_use.get(use) for use in (rows.task.measure.name, "size", "latency"))}
    return [row for row in rows.native if row.id in chosen and f"{row.id}@{each.name}" not in rows.known]


def _measure(rows: Rows, each: Target, native: Sequence[Row]) -> None:
    """Measure builds on a target, and the repairs of those whose sums saturate there."""
    rows.measure_on(each, [row for row in native if f"{row.id}@{each.name}" not in rows.known])
    there = _there(rows, each.name)
    broken = [row for row in native if each.saturates and row.id in there and _flips(there[row.id])]
    repairs = {r.id: r for row in broken for r in engine(row.engine).repairs(row.quantization)}
    rows.measure([Offer(recipe, frozenset()) for recipe in repairs.values() if recipe.id not in rows.known])
    made = [row for row in rows.native if row.id in repairs and row.status == "ok"]
    rows.measure_on(each, [row for row in made if f"{row.id}@{each.name}" not in rows.known])


def choose(found: Recommendation, name: str, rows: Table, request: RequestRecord) -> Recommendation:
    """A recommendation that says which build to ship for a target, and why, in place of what it says of it so far."""
    where = f"On {name} ("
    by_target = {target: build for target, build in found.by_target.items() if target != name}
    because = [reason for reason in found.because if not reason.startswith(where)]
    found = found.model_copy(update={"because": because, "by_target": by_target})
    there = _there(rows, name)
    measured = {recipe: row for recipe, row in there.items() if row.status == "ok"}
    if not measured:
        reason = f"Nothing could be measured on {name}: {next(iter(there.values())).reason}." if there else ""
        return _because(found, reason) if reason else found
    holds = [row for row in rows.native if row.id in measured and not _flips(measured[row.id])]
    samples = max(row.samples or 0 for row in measured.values())
    how = next(iter(measured.values())).measured
    where += "" if how == "native" else f"{how}, "
    stays = found.id is not None and any(row.id == found.id for row in holds)
    chosen = found.id if stays else _recommend(rows, holds, request).id
    does = "predict" if isinstance(rows.task, Classification) else "answer"
    words = _words(found, chosen, measured, holds, does)
    if chosen is not None:
        by_target = {**by_target, name: chosen}
        words += _time(measured[chosen])
    return _because(found.model_copy(update={"by_target": by_target}), f"{where}{samples:,} samples) {words}")


def _time(row: Row) -> str:
    """How long a build takes on the device that it was run on, in a sentence; nothing is claimed of two builds."""
    if row.device is None or row.device.p50 is None:
        return ""
    threads = f"{row.device.threads} thread{'' if row.device.threads == 1 else 's'}"
    return f" It takes {1e6 * row.device.p50:.0f} µs there (median of {row.device.runs:,} runs, {threads})."


def _words(
    found: Recommendation, chosen: str | None, measured: Mapping[str, Row], holds: Sequence[Row], does: str
) -> str:
    pick = measured.get(found.id or "")
    if chosen is not None and chosen == found.id:
        return f"{chosen} {does}s the same as here: it holds there too."
    here = f"{found.id}: {pick.flags[0].text}. " if pick is not None and pick.flags else ""
    if chosen is not None:
        return f"{here}Ship {chosen} there: no {'prediction' if does == 'predict' else 'answer'} differs."
    if not holds:
        return f"{here}No build that was checked {does}s what it {does}s here: none is recommended for it."
    return f"{here}{len(holds)} of {len(measured)} builds {does} the same as here; none is recommended, see above."


def _there(rows: Table, name: str) -> dict[str, Row]:
    """The rows of a target, by the recipes of their files."""
    return {row.recipe: row for row in rows.all if row.target == name}


def _flips(row: Row) -> int:
    return row.versus_native.flips if row.versus_native is not None else 0
