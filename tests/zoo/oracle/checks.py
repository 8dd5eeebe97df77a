"""What is false in a run directory: an empty list is what a run must have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from numpy.typing import NDArray

from tests.zoo.oracle import count, litert_count, metrics, runtimes
from tests.zoo.oracle.runtimes import Arrays

_FRACTION = 2e-3  # by which a figure may be off: a rounding of a float here and there tips a sample, or a step


@dataclass(frozen=True)
class Truth:
    """What is right for a model.

    Attributes:
        inputs: the evaluation samples as the model takes them.
        floats: what its own runtime gives for them, each of shape (n, values).
        labels: theirs.
        axes: which axis of each input is the batch.
        metric: what rows are judged by; None where that is left open.
        output: which output that is about.
        model: its file, where that is ONNX.
        only_float: nothing of it can become integer in ONNX Runtime.
        never: no static build may be recommended there.
    """

    inputs: Arrays
    floats: Arrays
    labels: NDArray[Any] | None = None
    axes: Sequence[int | None] = ()
    metric: str | None = None
    output: int = 0
    model: Path | None = None
    only_float: bool = False
    never: bool = False


def faults(run: Path, truth: Truth, engines: Sequence[str] = ()) -> list[str]:
    """What a run directory says that is not so, in words.

    Args:
        run: the run directory.
        truth: what is right.
        engines: whose rows to look at; all where none is named.
    """
    record = json.loads((run / "run.json").read_text())
    found = list(_of_model(record, truth)) if not engines or "onnxruntime" in engines else []
    named = _recommended(record)
    for row in record.get("rows", []):
        if row["status"] != "ok" or row["target"] != "host" or (engines and row["engine"] not in engines):
            continue
        folder = run / Path(row["files"][0]["path"]).parts[0] / Path(row["files"][0]["path"]).parts[1]
        found += [f"{row['id']}: {each}" for each in _of_row(row, folder, truth, row["id"] in named)]
    return found


def _of_model(record: dict[str, Any], truth: Truth) -> Iterator[str]:
    """What is false of the model as a whole."""
    if truth.model is None or truth.model.suffix != ".onnx":
        return
    told = record["model"].get("macs")
    right = _count(onnx.load(truth.model), truth)
    if told is not None and not right.inside and told != right.macs:
        yield f"the model has {right.macs:,} multiply-accumulates, and is said to have {told:,}"


def _count(model: onnx.ModelProto, truth: Truth) -> count.Counted:
    opened = runtimes.onnx_model(model.SerializeToString())
    given, repeats = runtimes.fed(opened, [each[0] for each in truth.inputs], truth.axes)
    stored = {each.name for each in model.graph.initializer}
    names = [each.name for each in model.graph.input if each.name not in stored]
    found = count.counted(model, dict(zip(names, given, strict=True)))
    return count.Counted(found.macs // repeats, found.integer // repeats, found.inside)


def _of_row(row: dict[str, Any], folder: Path, truth: Truth, recommended: bool) -> Iterator[str]:
    """What is false of a row, and of the files that it is about."""
    if row["samples"] != len(truth.inputs[0]):
        yield f"{row['samples']} samples are said to be judged, of {len(truth.inputs[0])}"
    own, kept = runtimes.alone(runtimes.build(folder), truth.inputs, truth.axes), _kept(folder)
    if len(kept) != len(own):
        yield f"{len(kept)} outputs are kept, of {len(own)}"
        return
    for place, each in enumerate(zip(own, kept, strict=True)):
        yield from (f"output {place}: {fault}" for fault in _of_output(*each))
    yield from _figures(row, own, truth)
    if recommended:
        yield from _of_choice(row, kept, truth)
    if row["engine"] in ("onnxruntime", "litert") and row["kind"] == "quantized":
        yield from _of_coverage(row, _executed(row["engine"], folder, truth))


def _of_output(own: NDArray[Any], kept: NDArray[Any]) -> Iterator[str]:
    """What is false of what is kept of an output, beside what the file gives for these samples, one by one."""
    if len(kept) != len(own):
        yield f"it is kept for {len(kept)} samples, of {len(own)}"
    elif kept.size != own.size:
        yield f"it has {own[0].size} numbers a sample, and {kept[0].size} are kept"
    elif (apart := unlike(kept.reshape(len(own), -1), own)) > _FRACTION:
        yield f"{apart:.2%} of it is not what the file gives for these samples, one by one"


def _of_choice(row: dict[str, Any], kept: Arrays, truth: Truth) -> Iterator[str]:
    """What is false of a row that is recommended."""
    if (truth.only_float or truth.never) and row["engine"] == "onnxruntime" and row["kind"] == "quantized":
        yield "it is recommended"
    if truth.metric in ("accuracy", "agreement"):
        return
    for place, (floats, found) in enumerate(zip(truth.floats, kept, strict=True)):
        if found.size == floats.size:
            channels = dead(floats.reshape(found.shape), found)
            yield from (f"it is recommended, and output {place} died at {each}" for each in channels)


def _figures(row: dict[str, Any], own: Arrays, truth: Truth) -> Iterator[str]:
    """What is false of a row's figures."""
    if row["kind"] == "baseline":
        for place, (mine, right) in enumerate(zip(own, truth.floats, strict=True)):
            if (apart := unlike(mine, right)) > _FRACTION:
                yield f"{apart:.2%} of output {place} of the float build is not what the user's model gives"
    told = row["metric"]
    if truth.metric is None:
        return
    if told["name"] != truth.metric:
        yield f"it is judged by {told['name']}, not by {truth.metric}"
        return
    place = truth.output
    pairs = zip(own, truth.floats, strict=True) if told["name"] == "deviation" else [(own[place], truth.floats[place])]
    right = max(metrics.metric(told["name"], *each, truth.labels, truth.inputs[0]) for each in pairs)
    if told["name"] == "deviation":  # the worst channel may be further off than all of them together
        if told["value"] < 0.98 * right - 1e-6:
            yield f"its deviation is {right:.4g}, and is said to be {told['value']:.4g}"
    elif abs(told["value"] - right) > 5e-3 * max(1.0 if told["unit"] == "fraction" else 0.0, abs(right)):
        yield f"its {told['name']} is {right:.5g}, and is said to be {told['value']:.5g}"


def _executed(engine: str, folder: Path, truth: Truth) -> count.Counted:
    """What a build costs, and how much of it its runtime computes on integers."""
    fields = yaml.safe_load((folder / "recipe.yaml").read_text())
    file = folder / next(iter(fields["files"]))
    if engine == "litert":
        return litert_count.counted(file)
    given, _ = runtimes.fed(runtimes.build(folder), [each[0] for each in truth.inputs], truth.axes)
    graph = onnx.load(file).graph
    stored = {each.name for each in graph.initializer}
    feeds = dict(zip([each.name for each in graph.input if each.name not in stored], given, strict=True))
    return count.executed(file, fields.get("session", {}), feeds)


def _of_coverage(row: dict[str, Any], right: count.Counted) -> Iterator[str]:
    """What is false of how much is said to run as integers."""
    told = (row.get("coverage") or {}).get("macs", 0.0)
    flags = {flag["code"] for flag in row["flags"]}
    if right.inside and told > 0.999 and "partly_float" not in flags:
        yield f"{', '.join(right.inside)} may compute on floats, and all is said to run as integers"
    if not right.inside and right.macs and abs(told - right.integer / right.macs) > 1e-3:
        yield f"{right.integer / right.macs:.2%} of the work runs as integers, and {told:.2%} is said to"


def _recommended(record: dict[str, Any]) -> set[str]:
    """The rows that a run names for any use."""
    found = record.get("recommendation") or {}
    return {each for each in (found.get("id"), *(found.get("by_use") or {}).values()) if each}


def _kept(folder: Path) -> Arrays:
    """The outputs that are kept beside a build."""
    with np.load(folder / "predictions.npz", allow_pickle=False) as file:
        return [file[f"output{i}"] for i in range(sum(name.startswith("output") for name in file.files))]


def unlike(found: NDArray[Any], right: NDArray[Any]) -> float:
    """The share of numbers that differ by more than rounding does, beside the largest of the output."""
    first, second = found.reshape(-1).astype(np.float64), right.reshape(-1).astype(np.float64)
    finite = np.isfinite(second)
    scale = float(np.abs(second[finite]).max(initial=0.0)) or 1.0
    apart = ~np.isclose(first, second, rtol=1e-3, atol=2e-4 * scale, equal_nan=True)
    return float(apart.mean())


def dead(floats: NDArray[Any], found: NDArray[Any]) -> list[str]:
    """The channels that vary in the float model and are constant in a build, of outputs of shape (n, …).

    A channel whose range is under 0.01% of the widest one's says nothing, nor does a share under 1% of it, nor one
    that leaves its usual value fewer than ten times.
    """
    names = []
    for axis in {1, found.ndim - 1} - {0}:
        if axis >= found.ndim:
            continue
        before, after = (
            np.moveaxis(each.astype(np.float64), axis, 0).reshape(found.shape[axis], -1) for each in (floats, found)
        )
        span = np.ptp(before, axis=1)
        share = (before.min(axis=1) >= 0) & (before.max(axis=1) <= 1)
        least = np.maximum(1e-4 * span.max(), np.where(share, 1e-2 * span[share].max(initial=0), 0))
        apart = np.abs(before - np.median(before, axis=1, keepdims=True)) > 1e-2 * before.std(axis=1, keepdims=True)
        said = (span > least) & (apart.sum(axis=1) >= 10)
        names += [f"axis {axis}, {place}" for place in np.flatnonzero(said & (np.ptp(after, axis=1) == 0))]
    return names
