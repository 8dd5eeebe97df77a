"""What a run found as a whole, in words."""

from __future__ import annotations

from bitpick.reports import measured, words
from bitpick.schema.diagnosis import Diagnosis
from bitpick.schema.evidence import Finding, FindingCode, Metric
from bitpick.schema.failure import Failure
from bitpick.schema.run import Recommendation, Row, Run
from bitpick.schema.speed import verdict

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
    if row is None or row.metric is None:
        return ""
    found = row.metric
    parts = [_gets(found)]
    held_out = (
        next((fold for fold in (run.recommendation.folds or []) if fold.chosen == row.id), None)
        if run.recommendation
        else None
    )
    if held_out is not None and held_out.drop is not None and held_out.drop_interval is not None:
        where = f"on {held_out.judging:,} samples that did not choose it"
        beside = f"a {found.worsening} of {found.changed(held_out.drop)} {where}"
        parts[0] += f", {beside} (95% interval {words.between(row, held_out.drop_interval)})"
    elif (versus := row.versus_baseline) is not None:
        under = f", shown to be under the margin of {found.change(versus.margin)}" if versus.noninferior else ""
        beside = f"a {found.worsening} of {found.changed(versus.drop)} beside its own float32"
        parts[0] += f", {beside} (95% interval {words.between(row, versus.drop_interval)}{under})"
    if row.size_bytes is not None:
        parts.append(f"has {words.size(row)}" + (f" ({words.size_beside(row)})" if words.size_beside(row) else ""))
    if (timed := row.latency) is not None and timed.ratio_reference is not None:
        bounds = timed.ratio_reference_interval
        unsure = f", {verdict(bounds)}" if verdict(bounds) == "not resolvable here" else ""
        told = f"takes {timed.ratio_reference:.2f} times as long as {timed.reference}"
        parts.append(told + (f" ({words.interval(*bounds)}; under 1 is faster{unsure})" if bounds else unsure))
    return f"It {', '.join(parts[:-1])}{', and ' if parts[1:] else ''}{parts[-1]}."


def _gets(found: Metric) -> str:
    """What a build gets, as the beginning of a sentence about it."""
    ways = {
        "accuracy": f"gets {found.shown()} right",
        "agreement": f"predicts what the float model does for {found.shown()} of the samples",
        "deviation": f"deviates by {found.shown()} from the float model{f' ({found.of})' if found.of else ''}",
    }
    return ways.get(found.name, f"gets {found.shown()} ({found.label})")


def next_step(found: Diagnosis) -> str:
    """The advice that says what to try next, or else the last one."""
    return next((line for line in found.advice if line.startswith("Next: ")), found.advice[-1])


def limits(run: Run) -> str:
    """What the request does not allow the build to ship, e.g. `a drop of at most 0.50 points`; empty without limits."""
    asked = run.request
    parts = []
    if asked.max_drop is not None:
        found = measured.measure(run.rows)
        parts.append(f"a {found.worsening} of at most {measured.limit(asked.max_drop, found)}")
    if asked.max_size is not None:
        parts.append(f"at most {words.kilobytes(asked.max_size)}")
    if asked.max_latency_ratio is not None:
        parts.append(f"at most {asked.max_latency_ratio:g} of the reference's time")
    return ", ".join(parts)


def recommendation(run: Run) -> Recommendation | None:
    """The recommendation; None where the run failed and its reason says why there is nothing to ship."""
    found = run.recommendation
    return None if found is None or (run.error is not None and found.id is None) else found


def headline(error: Failure) -> str:
    """What happened, without the lines that list more."""
    return _begun(words.sentence(error.what.partition("\n")[0]))


def listed(error: Failure) -> list[str]:
    """What an error lists below its headline."""
    return [line.strip() for line in error.what.splitlines()[1:]]


def answers(error: Failure) -> dict[str, str]:
    """What was expected and how to fix it, by the words for it; without what is not known."""
    told = {"Expected": error.expected, "How to fix it": error.fix}
    return {name: _begun(text) for name, text in told.items() if text}


def _begun(text: str) -> str:
    """Text that begins as a sentence does, where its first word is an ordinary one."""
    return text[0].upper() + text[1:] if text.partition(" ")[0].isalpha() else text


def findings(run: Run) -> list[tuple[Finding, list[Row]]]:
    """What makes builds slow or big, each thing once, with the rows that it was found in."""
    found: dict[tuple[str, str, str], tuple[Finding, list[Row]]] = {}
    for row in words.ordered(run):
        for finding in row.findings or []:
            found.setdefault((finding.about, finding.text, finding.mend), (finding, []))[1].append(row)
    return sorted(found.values(), key=lambda each: each[0].about != "slow")
