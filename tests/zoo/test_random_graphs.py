"""Random graphs give a right result, or a refusal with a reason; never a false result."""

from __future__ import annotations

import os
import re
import shutil

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.kept import TranslatingExecutor, use_executor
from tests.zoo.driving import compare
from tests.zoo.entry import Made, write_samples
from tests.zoo.oracle import runtimes
from tests.zoo.oracle.checks import Truth, faults, unlike
from tests.zoo.random_graphs import Drawn, build

TRAIN = 16
PARTS = 8  # that run side by side
MANY = int(os.environ.get("BITPICK_RANDOM_GRAPHS", "2000"))
# What a user must not be told: the name of a Python exception in the place of a reason.
INTERNAL = re.compile(
    r"\b(?:Index|Key|Value|Type|Attribute|Assertion|ZeroDivision|NotImplemented|UnboundLocal|Name|Recursion|Broadcast"
    r"|Validation|Inference|Overflow|FloatingPoint|AxisE)\w*(?:Error|Warning)?: "
    r"|StopIteration|a defect of the converter"
)


def outcome(drawn: Drawn, folder) -> str:
    """`right`, `refused: …`, `invalid: …` where ONNX Runtime does not take the graph; else what is false."""
    try:
        onnx.checker.check_model(drawn.model)
    except onnx.checker.ValidationError as error:
        if "topologically" not in str(error):
            return f"invalid: {error}"
    folder.mkdir(parents=True)
    onnx.save(drawn.model, folder / "model.onnx")
    split = {
        "train": {name: each[:TRAIN] for name, each in drawn.inputs.items()},
        "test": {name: each[TRAIN:] for name, each in drawn.inputs.items()},
    }
    inputs = list(split["test"].values())
    try:
        opened = runtimes.onnx_model(folder / "model.onnx")
        floats = runtimes.alone(opened, inputs, drawn.axes)
        sound = _sound(opened, drawn, inputs, floats)
    except Exception as error:  # noqa: BLE001 - whatever the runtime says against a graph
        floats, sound = [], f"{error}"
    made = Made(
        folder / "model.onnx",
        write_samples(folder / "data", split),
        inputs,
        floats,
        None,
        drawn.axes,
        {"calibration_size": TRAIN},
    )
    with use_executor(TranslatingExecutor(), folder / "cache"):
        error = compare(made, folder / "run", ["onnxruntime"], [drawn.recipe])
    if error is not None and not str(error).startswith("no quantized row is ok"):
        return f"internal: {error}" if INTERNAL.search(str(error)) else f"refused: {sound}: {error}"
    if sound:
        return f"accepted, though {sound}"
    found = faults(folder / "run", Truth(inputs, floats, None, drawn.axes, model=made.model))
    return "\n".join(found) or ("right" if error is None else "right, of no use")


def _sound(opened, drawn: Drawn, inputs, floats) -> str:
    """Why a model cannot be judged sample by sample; empty where it can."""
    if not all(np.isfinite(each).all() for each in floats):
        return "it gives numbers that are not finite"
    again = runtimes.alone(opened, inputs, drawn.axes)
    if any(unlike(*pair) for pair in zip(again, floats, strict=True)):
        return "no two runs agree"
    if drawn.axes[0] is None or opened.shapes[0][0] == 1:
        return ""
    # Each sample among others: what it gives must not depend on them, and there must be as much of it.
    size = opened.shapes[0][0] or len(inputs[0])
    some = [each[:size].astype(kind) for each, kind in zip(inputs, opened.dtypes, strict=True)]
    for whole, each in zip(opened.run(some), floats, strict=True):
        if np.asarray(whole).size != size * each[0].size or np.shape(whole)[:1] != (size,):
            return "an output has no row for each sample"
        if unlike(np.asarray(whole, np.float32).reshape(size, -1), each[:size]):
            return "what a sample gives depends on the others"
    return ""


@st.composite
def graphs(draw) -> Drawn:
    """A random graph."""
    return build(lambda options: draw(st.sampled_from(list(options))))


def never_false(drawn: Drawn, folder) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    told = outcome(drawn, folder)
    assert told.startswith(("right", "refused", "invalid")), f"{told}\n{onnx.printer.to_text(drawn.model)}"


@given(graphs())
@settings(
    max_examples=25,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # the graph is told whole; make zoo makes it smaller
)
def test_a_handful_of_random_graphs(tmp_path_factory, drawn):
    never_false(drawn, tmp_path_factory.getbasetemp() / "random")


@pytest.mark.zoo
@pytest.mark.parametrize("part", range(PARTS))
@given(drawn=graphs())
@settings(max_examples=-(-MANY // PARTS), suppress_health_check=list(HealthCheck), print_blob=True)
def test_many_random_graphs(tmp_path_factory, part, drawn):
    never_false(drawn, tmp_path_factory.getbasetemp() / "random")
