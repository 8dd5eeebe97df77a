"""Describe a whole run: its answer, limits, findings and error."""

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
    """Sum up the evidence for the recommended build in one sentence; empty if none is recommended."""
    row = run.row(run.recommendation.id) if run.recommendation and run.recommendation.id else None
    if row is None or row.metric is None:
        return ""
    metric = row.metric
    parts = [_metric_phrase(metric)]
    held_out = (
        next((fold for fold in (run.recommendation.folds or []) if fold.chosen == row.id), None)
        if run.recommendation
        else None
    )
    if held_out is not None and held_out.drop is not None and held_out.drop_interval is not None:
        where = f"on {held_out.judging:,} samples that did not choose it"
        beside = f"a {metric.worsening} of {metric.changed(held_out.drop)} {where}"
        parts[0] += f", {beside} (95% interval {words.between(row, held_out.drop_interval)})"
    elif (versus := row.versus_baseline) is not None:
        under = f", shown to be under the margin of {metric.change(versus.margin)}" if versus.noninferior else ""
        beside = f"a {metric.worsening} of {metric.changed(versus.drop)} beside its own float32"
        parts[0] += f", {beside} (95% interval {words.between(row, versus.drop_interval)}{under})"
    if row.size_bytes is not None:
        parts.append(f"has {words.size(row)}" + (f" ({words.size_beside(row)})" if words.size_beside(row) else ""))
    if (timed := row.latency) is not None and timed.ratio_reference is not None:
        bounds = timed.ratio_reference_interval
        unsure = f", {verdict(bounds)}" if verdict(bounds) == "not resolvable here" else ""
        ratio_text = f"takes {timed.ratio_reference:.2f} times as long as {timed.reference}"
        parts.append(ratio_text + (f" ({words.interval(*bounds)}; under 1 is faster{unsure})" if bounds else unsure))
    return f"It {', '.join(parts[:-1])}{', and ' if parts[1:] else ''}{parts[-1]}."


def _metric_phrase(metric: Metric) -> str:
    """Begin a sentence about a build with its metric."""
    phrases = {
        "accuracy": f"gets {metric.shown()} right",
        "agreement": f"predicts what the float model does for {metric.shown()} of the samples",
        "deviation": f"deviates by {metric.shown()} from the float model{f' ({metric.of})' if metric.of else ''}",
    }
    return phrases.get(metric.name, f"gets {metric.shown()} ({metric.label})")


def next_step(diagnosis: Diagnosis) -> str:
    """Return the advice on what to try next, or else the last one."""
    return next((line for line in diagnosis.advice if line.startswith("Next: ")), diagnosis.advice[-1])


def limits(run: Run) -> str:
    """List the limits on the build to ship, e.g. `a drop of at most 0.50 points`; empty without limits."""
    request = run.request
    parts = [f"what a {request.use} can run"] if request.use is not None else []
    if request.max_drop is not None:
        metric = measured.measure(run.rows)
        parts.append(f"a {metric.worsening} of at most {measured.limit(request.max_drop, metric)}")
    if request.max_size is not None:
        parts.append(f"at most {words.kilobytes(request.max_size)}")
    if request.max_latency_ratio is not None:
        parts.append(f"at most {request.max_latency_ratio:g} of the reference's time")
    return ", ".join(parts)


def search(run: Run) -> str:
    """Say what a search tried, and on which samples its results are judged; empty without one."""
    record = run.search
    if record is None:
        return ""
    tried = f"The search tried {len(record.looks)} of {record.space} recipes on {record.searched:,} evaluation samples"
    return f"{tried}; the rows are judged on {record.confirmed:,} others, which it did not look at."


def recommendation(run: Run) -> Recommendation | None:
    """Return the recommendation; None if the run failed, because its error says why there is nothing to ship."""
    result = run.recommendation
    return None if result is None or (run.error is not None and result.id is None) else result


def headline(error: Failure) -> str:
    """Return what happened, without the lines that list details."""
    return _capitalized(words.sentence(error.what.partition("\n")[0]))


def listed(error: Failure) -> list[str]:
    """Return the details that an error lists below its headline."""
    return [line.strip() for line in error.what.splitlines()[1:]]


def answers(error: Failure) -> dict[str, str]:
    """Return what was expected and how to fix it, by title, as far as they are known."""
    texts = {"Expected": error.expected, "How to fix it": error.fix}
    return {name: _capitalized(text) for name, text in texts.items() if text}


def _capitalized(text: str) -> str:
    """Capitalize a text, unless its first word is not an ordinary word."""
    return text[0].upper() + text[1:] if text.partition(" ")[0].isalpha() else text


def findings(run: Run) -> list[tuple[Finding, list[Row]]]:
    """Return what makes builds slow or big, each finding once, with its rows."""
    rows_by_finding: dict[tuple[str, str, str], tuple[Finding, list[Row]]] = {}
    for row in words.ordered(run):
        for finding in row.findings or []:
            rows_by_finding.setdefault((finding.about, finding.text, finding.mend), (finding, []))[1].append(row)
    return sorted(rows_by_finding.values(), key=lambda each: each[0].about != "slow")
