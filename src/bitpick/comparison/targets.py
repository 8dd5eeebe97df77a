"""Other CPUs: which builds to check there, how to repair one that does not hold, and which to ship for each."""

from __future__ import annotations

from collections.abc import Sequence

from bitpick.comparison.recommend import recommend
from bitpick.comparison.rows import Rows
from bitpick.engines.engine import Offer
from bitpick.engines.registry import engine
from bitpick.host import AVX2, VNNI, Host, Target, target
from bitpick.result import Recommendation, RequestRecord, Row


def check(rows: Rows, request: RequestRecord, host: Host) -> Recommendation:
    """Recommend builds, and check them on the targets that were asked for.

    Where none was asked for, the builds that would be recommended are checked for x86 CPUs without VNNI. A build that
    does not hold gets its repairs as rows of their own.

    Args:
        rows: the rows of this host, measured; grows.
        request: what was asked for.
        host: this machine.
    """
    asked = [target(word) for word in request.targets if word != "host"]
    if asked:
        for each in asked:
            rows_there = [row for row in rows.native if row.status == "ok" and row.kind != "baseline"]
            _measure(rows, each, rows_there)
    elif not request.targets and AVX2.missing(host) is None and VNNI & set(host.isa):
        rows.claim(request.alpha)
        first = _recommend(rows, rows.native, request)
        _measure(rows, AVX2, _best(first, rows.native))
        asked = [AVX2]
    rows.claim(request.alpha)
    found = _recommend(rows, rows.native, request)
    found.by_target = {"host": found.id} if found.id else {}
    for each in asked:
        _choose(found, each, rows, request)
    if not request.targets and found.id and VNNI & set(host.isa) and (why := AVX2.missing(host)):
        found.because.append(f"Not checked for {AVX2.name} (x86 CPUs without VNNI, where 8-bit sums saturate): {why}.")
    return found


def _recommend(rows: Rows, among: Sequence[Row], request: RequestRecord) -> Recommendation:
    return recommend(among, rows.predicted, rows.targets, request)


def _best(found: Recommendation, native: Sequence[Row]) -> list[Row]:
    chosen = {found.id, found.by_use.get("accuracy"), found.by_use.get("size")}
    return [row for row in native if row.id in chosen]


def _measure(rows: Rows, each: Target, native: Sequence[Row]) -> None:
    """Measure builds on a target, and the repairs of those that do not hold there."""
    rows.measure_on(each, native)
    there = {row.recipe: row for row in rows.all if row.target == each.name}
    broken = [row for row in native if _flips(there[row.id])]
    repairs = {r.id: r for row in broken for r in engine(row.engine).repairs(row.quantization)}
    known = {row.id for row in rows.native}
    rows.measure([Offer(recipe, frozenset()) for recipe in repairs.values() if recipe.id not in known])
    made = [row for row in rows.native if row.id in repairs.keys() - there.keys() and row.status == "ok"]
    rows.measure_on(each, made)


def _choose(found: Recommendation, each: Target, rows: Rows, request: RequestRecord) -> None:
    """Add to a recommendation which build to ship for a target, and why."""
    there = {row.recipe: row for row in rows.all if row.target == each.name and row.status == "ok"}
    holds = [row for row in rows.native if row.id in there and not _flips(there[row.id])]
    chosen = _recommend(rows, holds, request).id
    if chosen is not None:
        found.by_target[each.name] = chosen
    how = "emulated, " if each.emulated else ""
    total = next((row.versus_native.samples for row in there.values() if row.versus_native), 0)
    where = f"On {each.name} ({how}{total:,} samples)"
    pick = there.get(found.id or "")
    if chosen is None:
        found.because.append(f"{where} no checked build predicts what it predicts here: none is recommended for it.")
    elif chosen == found.id:
        found.because.append(f"{where} {chosen} predicts the same as here: it holds there too.")
    elif pick is not None and pick.versus_native is not None:
        drop = pick.versus_native.drop
        why = ", where sums of 8-bit products saturate for want of VNNI" if each.saturates else ""
        found.because.append(
            f"{where} {found.id} changes {pick.versus_native.flips} predictions and loses {100 * drop:.1f} points"
            f"{why}. "
            f"Ship {chosen} there: no prediction differs."
        )
    else:
        found.because.append(f"{where} {found.id or 'no build'} could not be measured. Ship {chosen} there.")


def _flips(row: Row) -> int:
    return row.versus_native.flips if row.versus_native is not None else 0
