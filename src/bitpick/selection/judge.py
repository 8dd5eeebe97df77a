"""Judge a row beside its baseline: drop, flips, size, flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from bitpick.preprocessing import Arrays
from bitpick.recipe import baseline
from bitpick.schema.evidence import VersusBaseline, VersusNative, VersusUnprepared
from bitpick.schema.margin import margin_of
from bitpick.schema.run import Flag, RequestRecord, Row
from bitpick.statistics.channels import channels, dead_channels, named
from bitpick.tasks.task import Answers, Targets, Task

# Flags that follow from the metrics of a row and its baseline; other flags come with the measurements.
OF_METRIC = frozenset({"drop", "min_accuracy"})


def scale(row: Row) -> float:
    """Return what a percent limit on a row's drop refers to: 1 for a fraction, else the metric of its float32."""
    if row.metric is None or row.metric.unit == "fraction":
        return 1.0
    drop = row.versus_baseline.drop if row.versus_baseline is not None else 0.0
    return abs(row.metric.value + (drop if row.metric.higher_is_better else -drop))


def on_target(row: Row, answers: Answers, native: Answers, targets: Targets, task: Task, saturates: bool) -> Row:
    """Return a row of another CPU, judged by its answers and those of the same files on this host.

    Args:
        row: a row that is ok.
        answers: the build's answers there, for n samples.
        native: its answers here.
        targets: the targets.
        task: how builds are judged.
        saturates: whether differences there come from saturating sums.
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
        counted = "predictions" if correct is not None else "outputs"
        difference = f"{flips} of {len(targets):,} {counted} differ from those on this CPU, {change}"
        cause = ": sums of 8-bit products saturate on x86 CPUs without VNNI" if saturates else ""
        flags.append(Flag(code="saturates" if saturates else "differs", text=difference + cause))
    return row.model_copy(update={"versus_native": versus, "flags": flags})


def with_gain(row: Row, plain: str, answers: Mapping[str, Answers], targets: Targets, task: Task) -> Row:
    """Return a row from a prepared graph with what preparing gained, on the same samples.

    Args:
        row: the row.
        plain: the id of the row of the same recipe without passes.
        answers: answers of both rows, for n samples.
        targets: the targets.
        task: how builds are judged.
    """
    versus = task.versus(answers[plain], answers[row.id], targets)
    low, high = versus.drop_interval
    gain = VersusUnprepared(
        row=plain, gain=0.0 - versus.drop, gain_interval=(0.0 - high, 0.0 - low), p_value=versus.p_value
    )
    return row.model_copy(update={"versus_unprepared": gain})


def dead(names: Sequence[str], float_outputs: Arrays, build_outputs: Arrays) -> list[Flag]:
    """Return the flag of a build with dead output channels, see `channels.dead_channels`; empty if it has none.

    Args:
        names: names of the outputs.
        float_outputs: the outputs of its float32, each of shape (n, …).
        build_outputs: the outputs of the build.
    """
    dead_outputs = []
    for name, expected, actual in zip(names, float_outputs, build_outputs, strict=True):
        if died := dead_channels(expected, actual):
            float_channels = channels(expected)
            which = named(died, len(float_channels.signal), float_channels.axis)
            dead_outputs.append(f"{name}{f' ({which})' if len(float_channels.signal) > 1 else ''}")
    is_, vary = ("is", "varies") if len(dead_outputs) == 1 else ("are", "vary")
    text = f"{' and '.join(dead_outputs)} {is_} constant in this build but {vary} in the float32"
    return [Flag(code="dead_channel", text=text)] if dead_outputs else []


def judge(
    row: Row,
    rows: Mapping[str, Row],
    answers: Mapping[str, Answers],
    targets: Targets,
    task: Task,
    request: RequestRecord,
) -> Row:
    """Return a row with everything that follows from its own measurements and its baseline's.

    Args:
        row: a row that is ok.
        rows: the rows so far, by id.
        answers: answers of the rows, for n samples.
        targets: the targets.
        task: how builds are judged.
        request: sets which drops and values are flagged.
    """
    assert row.metric is not None
    float_row = rows.get(baseline(row.engine).id)
    versus, ratio = None, None
    flags = [flag for flag in row.flags if flag.code not in OF_METRIC]
    if float_row is not None and float_row.metric is not None and row.kind != "baseline":
        margin = margin_of(request.margin, float_row.metric, task.margin_base)
        comparison = task.versus(answers[float_row.id], answers[row.id], targets)
        score = task.score(answers[float_row.id], answers[row.id], targets, margin)
        versus = VersusBaseline(baseline=float_row.id, margin=margin, score=score, **asdict(comparison))
        if row.size_bytes and float_row.size_bytes:
            ratio = row.size_bytes / float_row.size_bytes
        allowed = request.flag_drop * (float_row.metric.scale if task.margin_base is None else task.margin_base)
        if comparison.drop > allowed:
            loss = f"loses {float_row.metric.changed(comparison.drop)}"
            flags.append(Flag(code="drop", text=f"{loss}, more than the {float_row.metric.change(allowed)} allowed"))
    if request.min_accuracy is not None and row.metric.quality < request.min_accuracy:
        text = f"{row.metric.shown()} is under the {row.metric.shown(request.min_accuracy)} asked for"
        flags.append(Flag(code="min_accuracy", text=text))
    return row.model_copy(update={"versus_baseline": versus, "size_ratio": ratio, "flags": flags})
