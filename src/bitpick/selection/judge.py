"""A row beside its baseline: drop, flips, size, flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from bitpick.preprocessing import Arrays
from bitpick.recipe import baseline
from bitpick.schema.evidence import VersusBaseline, VersusNative
from bitpick.schema.margin import margin_of
from bitpick.schema.run import Flag, RequestRecord, Row
from bitpick.statistics.channels import channels, dead_channels, named
from bitpick.tasks.task import Answers, Targets, Task

# The flags that follow from a row's metric and its baseline's; the others come with its measurements.
OF_METRIC = frozenset({"drop", "min_accuracy"})


def scale(row: Row) -> float:
    """What a limit on a row's drop in percent is a share of: 1 of a fraction, else the metric of its float32."""
    if row.metric is None or row.metric.unit == "fraction":
        return 1.0
    drop = row.versus_baseline.drop if row.versus_baseline is not None else 0.0
    return abs(row.metric.value + (drop if row.metric.higher_is_better else -drop))


def on_target(row: Row, answers: Answers, native: Answers, targets: Targets, task: Task, saturates: bool) -> Row:
    """A row of another CPU with what follows from its answers and the same files' on this one.

    Args:
        row: a row that is ok.
        answers: what the build answers there, for n samples.
        native: what it answers here.
        targets: what is right.
        task: how builds are judged.
        saturates: whether sums that saturate are what makes a difference there.
    """
    here, there = task.metric(native, targets), row.metric
    assert there is not None
    flips = int(task.differing(native, answers).sum())
    drop = task.drop(native, answers, targets)
    correct = task.correct(native, targets)
    versus = VersusNative(samples=len(targets), correct=correct, drop=drop, flips=flips)
    flags = []
    if flips:
        change = here.changed(abs(drop)) + (" lost" if drop > 0 else " gained")
        change = ("as many are right" if correct is not None else "no worse for it") if drop == 0 else change
        of = "predictions" if correct is not None else "outputs"
        what = f"{flips} of {len(targets):,} {of} differ from those on this CPU, {change}"
        why = ": sums of 8-bit products saturate on x86 CPUs without VNNI" if saturates else ""
        flags.append(Flag(code="saturates" if saturates else "differs", text=what + why))
    return row.model_copy(update={"versus_native": versus, "flags": flags})


def dead(names: Sequence[str], own: Arrays, other: Arrays) -> list[Flag]:
    """The flag of a build that lost channels of its outputs, see `channels.dead_channels`; nothing where it lost none.

    Args:
        names: of the outputs.
        own: those of its float32, each of shape (n, …).
        other: the build's.
    """
    lost = []
    for name, expected, found in zip(names, own, other, strict=True):
        if places := dead_channels(expected, found):
            known = channels(expected)
            which = named(places, len(known.signal), known.axis)
            lost.append(f"{name}{f' ({which})' if len(known.signal) > 1 else ''}")
    is_, vary = ("is", "varies") if len(lost) == 1 else ("are", "vary")
    text = f"{' and '.join(lost)} {is_} constant in this build but {vary} in the float32"
    return [Flag(code="dead_channel", text=text)] if lost else []


def judge(
    row: Row,
    rows: Mapping[str, Row],
    answers: Mapping[str, Answers],
    targets: Targets,
    task: Task,
    request: RequestRecord,
) -> Row:
    """A row with all that follows from its own measurements and its baseline's.

    Args:
        row: a row that is ok.
        rows: the rows known so far, by id.
        answers: theirs, of n samples.
        targets: what is right.
        task: how builds are judged.
        request: says which drops and values are flagged.
    """
    assert row.metric is not None
    own = rows.get(baseline(row.engine).id)
    versus, ratio = None, None
    flags = [flag for flag in row.flags if flag.code not in OF_METRIC]
    if own is not None and own.metric is not None and row.kind != "baseline":
        margin = margin_of(request.margin, own.metric, task.margin_base)
        found = task.versus(answers[own.id], answers[row.id], targets)
        score = task.score(answers[own.id], answers[row.id], targets, margin)
        versus = VersusBaseline(baseline=own.id, margin=margin, score=score, **asdict(found))
        if row.size_bytes and own.size_bytes:
            ratio = row.size_bytes / own.size_bytes
        allowed = request.flag_drop * (own.metric.scale if task.margin_base is None else task.margin_base)
        if found.drop > allowed:
            told = f"loses {own.metric.changed(found.drop)}"
            flags.append(Flag(code="drop", text=f"{told}, more than the {own.metric.change(allowed)} allowed"))
    if request.min_accuracy is not None and row.metric.quality < request.min_accuracy:
        text = f"{row.metric.shown()} is under the {row.metric.shown(request.min_accuracy)} asked for"
        flags.append(Flag(code="min_accuracy", text=text))
    return row.model_copy(update={"versus_baseline": versus, "size_ratio": ratio, "flags": flags})
