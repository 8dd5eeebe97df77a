"""What a converter says that it refuses, it refuses, and names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from bitpick.conversion.pytorch_operators.registry import converters, coverage
from bitpick.errors import OperatorError
from tests.conversion.pytorch_operators.nodes import graph_of

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")

from bitpick.conversion.pytorch_from_onnx import import_graph

pytestmark = pytest.mark.frameworks


@dataclass(frozen=True)
class Refused:
    """A node that is refused.

    Attributes:
        operator: its operator.
        inputs: in the node's order: the shape of one that is computed, an array that is stored, None.
        says: what the error says.
        attributes: its attributes.
        outputs: how many it has.
        opset: version of its operator set.
        integers: which of the computed inputs have integers.
    """

    operator: str
    inputs: list[Any]
    says: str
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 17
    integers: tuple[int, ...] = ()


def ones(*shape):
    return np.ones(shape, np.float32)


IMAGE, ROWS, FREE = ["n", 4, 6, 6], ["n", 4], ["n", 4, "l"]
STATISTICS = [ones(4)] * 4
LAYER = [["t", "n", 3], ones(1, 12, 3), ones(1, 12, 4)]
GRU = [["t", "n", 3], ones(1, 9, 3), ones(1, 9, 3)]
ASYMMETRIC = {"mode": "cubic", "coordinate_transformation_mode": "asymmetric"}
CASES = [
    Refused("IsInf", [ROWS], "neither sign", {"detect_negative": 0, "detect_positive": 0}),
    Refused("Cast", [ROWS], "the type FLOAT8E4M3FN", {"to": TensorProto.FLOAT8E4M3FN}, opset=19),
    Refused("Cast", [ROWS], "the type STRING", {"to": TensorProto.STRING}),
    Refused("Conv", [IMAGE, [3, 4, 1, 1]], "a computed weight"),
    Refused("Conv", [["n", 1, 3, 3, 3, 3], ones(1, 1, 1, 1, 1, 1)], "4 spatial axes"),
    Refused("ConvTranspose", [IMAGE, [4, 3, 1, 1]], "a computed weight"),
    Refused("ConvTranspose", [IMAGE, ones(4, 3, 1, 1)], "an output that is 2 larger", {"output_shape": [8, 8]}),
    Refused("Slice", [ROWS, [1], np.array([9])], "a computed start", integers=(1,)),
    Refused("Slice", [FREE, *map(np.array, ([-1], [-9], [2], [-1]))], "a negative step on an axis of a free size"),
    Refused("GatherElements", [FREE, ["n", 4, 1]], "an axis of a free size", {"axis": 2}, integers=(1,)),
    Refused("GatherND", [FREE, FREE], "a free size among batch_dims", {"batch_dims": 3}, integers=(1,)),
    Refused("ScatterElements", [FREE, ["n", 4, 1], ["n", 4, 1]], "an axis of a free size", {"axis": 2}, integers=(1,)),
    Refused("ScatterND", [ROWS, np.zeros((1, 1), np.int64), [1, 4]], "reduction max", {"reduction": "max"}, opset=18),
    Refused("OneHot", [ROWS, [], np.array([0, 1])], "a computed number of classes", integers=(0, 1)),
    Refused("GridSample", [["n", 1, 2, 2, 2], ["n", 1, 1, 1, 3]], "cubic on three", {"mode": "cubic"}, opset=20),
    Refused("Shrink", [ROWS], "integers", integers=(0,)),
    Refused("Trilu", [["n", 3, 3], []], "a computed diagonal", integers=(1,)),
    Refused("Range", [[], np.array(3), np.array(1)], "computed bounds", integers=(0,)),
    Refused("Pad", [ROWS, [4]], "a computed padding", integers=(1,)),
    Refused("Pad", [IMAGE, np.array([1, 0, 0, 0] * 2)], "the mode edge on these axes", {"mode": "edge"}),
    Refused("BatchNormalization", [IMAGE, *STATISTICS], "training mode", {"training_mode": 1}),
    Refused("BatchNormalization", [IMAGE, *STATISTICS[:3], [4]], "a computed statistic"),
    Refused("InstanceNormalization", [IMAGE, [4], ones(4)], "a computed scale"),
    Refused("InstanceNormalization", [["n", 4, 2, 2, 2, 2], ones(4), ones(4)], "an input of 6 axes"),
    Refused("GroupNormalization", [IMAGE, [4], ones(4)], "a computed scale", {"num_groups": 2}, opset=21),
    Refused("LayerNormalization", [FREE, ones(1)], "a free size in the shape of its input"),
    Refused("LRN", [IMAGE], "the even size 2", {"size": 2}),
    Refused("MaxPool", [IMAGE], "an output number 2", {"kernel_shape": [2, 2]}, outputs=2),
    Refused("AveragePool", [IMAGE], "dilations", {"kernel_shape": [2, 2], "dilations": [2, 2]}, opset=19),
    Refused("AveragePool", [FREE], "a free size", {"kernel_shape": [2], "pads": [0, 1]}),
    Refused("LpPool", [IMAGE], "dilations", {"kernel_shape": [2, 2], "dilations": [2, 2]}, opset=18),
    Refused("LSTM", [LAYER[0], [1, 12, 3], LAYER[2]], "a computed weight"),
    Refused("LSTM", [*LAYER, None, [3]], "sequence lengths", integers=(4,)),
    Refused("LSTM", [*LAYER, *[None] * 4, ones(1, 9)], "peepholes"),
    Refused("LSTM", [*LAYER, None, None, [1, "n", 3]], "one of two initial states"),
    Refused("LSTM", LAYER, "the activations Relu, Tanh, Tanh", {"activations": ["Relu", "Tanh", "Tanh"]}),
    Refused("LSTM", LAYER, "the attribute clip", {"clip": 1.0}),
    Refused("LSTM", LAYER, "the attribute layout", {"layout": 1}),
    Refused("GRU", [["t", 1, 3], *GRU[1:]], "linear_before_reset of 0, and a free number of steps"),
    Refused("GRU", [[300, 1, 3], *GRU[1:]], "linear_before_reset of 0, and more than 256 steps"),
    Refused("ReduceSum", [ROWS, [1]], "a computed list of axes", integers=(1,)),
    Refused("ReduceMean", [ROWS], "means of integers", {"axes": [1]}, integers=(0,)),
    Refused("ReduceL1", [ROWS], "no axes", {"noop_with_empty_axes": 1}, opset=18),
    Refused("ReduceProd", [ROWS, [1]], "a computed list of axes", opset=18, integers=(1,)),
    Refused("ArgMax", [FREE], "select_last_index on an axis of a free size", {"select_last_index": 1, "axis": 2}),
    Refused("TopK", [ROWS, [1]], "a computed k", outputs=2, integers=(1,)),
    Refused("CumSum", [ROWS, []], "a computed axis", integers=(1,)),
    Refused("Resize", [IMAGE, None, ones(4)], "cubic with asymmetric", ASYMMETRIC),
    Refused("Resize", [IMAGE, None, ones(4)], "antialias", {"mode": "linear", "antialias": 1}, opset=18),
    Refused("Resize", [IMAGE, None, ones(4) * 2], "other axes than spatial ones"),
    Refused("Dropout", [ROWS], "an output number 2", outputs=2),
    Refused("Shape", [FREE], "a free size in the shape of its input"),
    Refused("Reshape", [ROWS, [2]], "a computed target", integers=(1,)),
    Refused("Reshape", [FREE, np.array([0, -1, 0])], "two free sizes"),
    Refused("Reshape", [IMAGE, np.array([2, 72])], "the fixed batch 2"),
    Refused("Squeeze", [["n", 1], [1]], "a computed list of axes", integers=(1,)),
    Refused("Unsqueeze", [ROWS, [1]], "a computed list of axes", integers=(1,)),
    Refused("Split", [FREE], "a free size to split", {"axis": 2}, outputs=2),
    Refused("Split", [ROWS, [2]], "a computed list of sizes", {"axis": 1}, outputs=2, integers=(1,)),
    Refused("Expand", [ROWS, [2]], "a computed target", integers=(1,)),
    Refused("Tile", [ROWS, [2]], "a computed number of repeats", integers=(1,)),
    Refused("ConstantOfShape", [[2]], "a computed shape", integers=(0,)),
    Refused("SpaceToDepth", [["n", 4, "h", "w"]], "a free size", {"blocksize": 2}),
]


def graph(case: Refused):
    computed = {f"x{i}": each for i, each in enumerate(case.inputs) if isinstance(each, list)}
    kinds = {f"x{i}": TensorProto.INT64 for i in case.integers}
    names = ["" if each is None else f"x{i}" for i, each in enumerate(case.inputs)]
    outputs = [f"y{i}" for i in range(case.outputs)]
    return graph_of(
        [(case.operator, names, outputs, case.attributes)],
        [(name, shape, kinds.get(name, TensorProto.FLOAT)) for name, shape in computed.items()],
        outputs,
        {f"x{i}": each for i, each in enumerate(case.inputs) if isinstance(each, np.ndarray)},
        case.opset,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operator}: {case.says}")
def test_a_form_that_is_not_supported_is_named(case):
    with pytest.raises(OperatorError) as error:
        import_graph(graph(case))
    assert f"the node {case.operator}.0 ({case.operator}, opset {case.opset}) has " in str(error.value)
    assert case.says in str(error.value)


def test_every_converter_with_limits_has_a_case():
    limited = {converters()[each.operator] for each in coverage() if each.limits}
    assert limited - {converters()[case.operator] for case in CASES} == {converters()["Gather"]}


def test_a_negative_index_into_a_table_ends_the_run_rather_than_giving_another_row():
    import torch

    imported = import_graph(graph(Refused("Gather", [ones(3, 2), ["n"]], "", integers=(1,))))
    assert imported(torch.tensor([2])).shape == (1, 2)
    with pytest.raises(IndexError):
        imported(torch.tensor([-1]))
