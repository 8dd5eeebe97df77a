"""A run of which only the inputs are known, and a network that passes have something to do in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.datasets.dataset import Dataset
from bitpick.models.model import Format, Model, Signature, Tensor
from bitpick.pipeline import fit
from bitpick.pipeline.inputs import Inputs
from bitpick.pipeline.workshop import Workshop
from bitpick.tasks.classification import Classification
from tests.conftest import CLASSES, SIDE

CHANNELS = 6


@dataclass(frozen=True)
class Known:
    """A run of which only the inputs are known: nothing was converted."""

    shop: Workshop
    inputs: Inputs
    model: Model


@pytest.fixture
def known(new_shop: Callable[..., Workshop], dataset: Dataset, model_file: Path) -> Known:
    """Of the linear model."""
    signature = Signature((Tensor("image", (SIDE, SIDE, 3)),), (Tensor("scores", (len(CLASSES),)),))
    samples, task = dataset.samples(dataset.evaluation), Classification(classes=CLASSES)
    inputs = Inputs(
        source=model_file,
        format=Format.RAW_ONNX,
        signature=signature,
        task=task,
        interface=fit.interface(signature, samples, task),
        calibration=dataset.samples(dataset.calibration).head(50),
        training=dataset.samples(dataset.calibration),
        training_minutes=5.0,
        seed=3,
        evaluation=samples,
        check=samples.head(200),
        check_places=np.arange(200),
        rewriting=samples.head(100),
        threads=1,
        digests=np.empty(0, "S32"),
    )
    return Known(new_shop(), inputs, Model(model_file, Format.RAW_ONNX, "0" * 64, signature, 196, 192))


@pytest.fixture
def convolutions(tmp_path: Path) -> Path:
    """Two convolutions in a row whose channels are of unlike size, and one score for each class; for `dataset`."""
    rng = np.random.default_rng(0)
    sizes = (10.0 ** np.linspace(-1, 1, CHANNELS)).astype(np.float32)
    first = rng.normal(size=(CHANNELS, 3, 3, 3)).astype(np.float32) * sizes.reshape(-1, 1, 1, 1) / 100
    second = rng.normal(size=(len(CLASSES), CHANNELS, 1, 1)).astype(np.float32) / sizes.reshape(1, -1, 1, 1)
    nodes = [
        helper.make_node("Transpose", ["image"], ["turned"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["turned", "w1"], ["c1"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "act"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "second"),
        helper.make_node("ReduceMean", ["c2"], ["scores"], "mean", axes=[2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", len(CLASSES)])],
        [onnx.numpy_helper.from_array(each, name) for each, name in ((first, "w1"), (second, "w2"))],
    )
    path = tmp_path / "convolutions.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
