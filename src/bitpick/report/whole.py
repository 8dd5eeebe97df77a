"""What a run found as a whole, in words."""

from __future__ import annotations

from bitpick.diagnosed import Diagnosis
from bitpick.evidence import Finding, FindingCode
from bitpick.report import words
from bitpick.result import Row, Run

COSTS = {"slow": "time", "big": "bytes"}
TITLES: dict[FindingCode, str] = {
    "unfused": "conversions between number formats that did not fuse",
    "float_operators": "operators that compute in float",
    "transposes": "operators that only move numbers",
    "stored_twice": "constants stored twice",
    "container": "bytes that are no weights",
    "slow_kernels": "number formats with slow kernels",
}


def answer(run: Run) -> str:
    """The evidence for the recommended build in one sentence; empty where there is none."""
    row = run.row(run.recommendation.id) if run.recommendation and run.recommendation.id else None
    if row is None or row.accuracy is None:
        return ""
    parts = [f"gets {words.percent(row.accuracy.value)} right"]
    held_out = (
        next((fold for fold in (run.recommendation.folds or []) if fold.chosen == row.id), None)
        if run.recommendation
        else None
    )
    if held_out is not None and held_out.drop is not None and held_out.drop_interval is not None:
        low, high = held_out.drop_interval
        beside = (
            f"a drop of {words.points(held_out.drop)} points on {held_out.judging:,} samples that did not choose it"
        )
        parts[0] += f", {beside} (95% interval {words.points(low)} to {words.points(high)})"
    elif (versus := row.versus_baseline) is not None:
        low, high = versus.drop_interval
        under = f", shown to be under the margin of {words.points(versus.margin)}" if versus.noninferior else ""
        beside = f"a drop of {words.points(versus.drop)} points beside its own float32"
        parts[0] += f", {beside} (95% interval {words.points(low)} to {words.points(high)}{under})"
    if row.size_bytes is not None:
        parts.append(f"has {words.size(row)}" + (f" ({words.reduction(row)} smaller)" if words.reduction(row) else ""))
    if (found := row.latency) is not None and found.ratio_reference is not None:
        bounds = found.ratio_reference_interval
        told = f"takes {found.ratio_reference:.2f} times as long as {found.reference}"
        told += f" ({words.interval(*bounds)}; under 1 is faster)" if bounds else ""
        parts.append(told if found.resolvable else f"its time beside {found.reference} is not resolvable here")
    return f"It {', '.join(parts[:-1])}{', and ' if parts[1:] else ''}{parts[-1]}."


def next_step(found: Diagnosis) -> str:
    """The advice that says what to try next, or else the last one."""
    return next((line for line in found.advice if line.startswith("Next: ")), found.advice[-1])


def limits(run: Run) -> str:
    """What the request does not allow the build to ship, e.g. `a drop of at most 0.50 points`; empty without limits."""
    asked = run.request
    parts = []
    if asked.max_drop is not None:
        parts.append(f"a drop of at most {words.points(asked.max_drop)} points")
    if asked.max_size is not None:
        parts.append(f"at most {words.kilobytes(asked.max_size)}")
    if asked.max_latency_ratio is not None:
        parts.append(f"at most {asked.max_latency_ratio:g} of the reference's time")
    return ", ".join(parts)


def findings(run: Run) -> list[tuple[Finding, list[Row]]]:
    """What makes builds slow or big, each thing once, with the rows that it was found in."""
    found: dict[tuple[str, str, str], tuple[Finding, list[Row]]] = {}
    for row in words.ordered(run):
        for finding in row.findings or []:
            found.setdefault((finding.about, finding.text, finding.mend), (finding, []))[1].append(row)
    return sorted(found.values(), key=lambda each: each[0].about != "slow")
