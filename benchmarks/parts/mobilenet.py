"""MobileNet v2 as an ONNX file, with random weights: a network of real size that no framework is needed for.

M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 2; batch norms are folded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Expansion, channels, repeats and stride of each stage.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_FEATURES = 1280


class _Network:
    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self._generator = np.random.default_rng(seed)

    def store(self, values: NDArray[np.float32], name: str) -> str:
        self.stored.append(numpy_helper.from_array(values, name))
        return name

    def add(self, kind: str, inputs: list[str], **attributes: object) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def normal(self, *shape: int, deviation: float) -> NDArray[np.float32]:
        return self._generator.normal(0, deviation, shape).astype(np.float32)

    def convolution(
        self, x: str, shape: tuple[int, int, int], stride: int = 1, groups: int = 1, relu: bool = True
    ) -> str:
        """A convolution from so many channels to so many, of this width; its outputs have about unit variance."""
        own, other, width = shape
        fan_in = own // groups * width**2
        place = len(self.nodes)
        weight = self.store(self.normal(other, own // groups, width, width, deviation=(2 / fan_in) ** 0.5), f"w{place}")
        bias = self.store(self.normal(other, deviation=0.1), f"b{place}")
        pads = [width // 2] * 4
        x = self.add("Conv", [x, weight, bias], strides=[stride] * 2, pads=pads, group=groups, kernel_shape=[width] * 2)
        return self.add("Clip", [x, "zero", "six"]) if relu else x


def write(
    path: Path, images: NDArray[np.float32], classes: int = 100, stages: int = len(_STAGES), seed: int = 0
) -> int:
    """Write the network; its classes are about equally frequent among some images.

    Args:
        path: the file.
        images: shape (n, 3, height, width).
        classes: how many.
        stages: how many of the seven stages it has.
        seed: of the weights.

    Returns:
        The number of its parameters.
    """
    network = _Network(seed)
    network.store(np.array(0, np.float32), "zero")
    network.store(np.array(6, np.float32), "six")
    x, own = network.convolution("image", (3, 32, 3), stride=2), 32
    for expansion, other, repeats, first in _STAGES[:stages]:
        for stride in (first, *[1] * (repeats - 1)):
            wide = own * expansion
            y = network.convolution(x, (own, wide, 1)) if expansion > 1 else x
            y = network.convolution(y, (wide, wide, 3), stride, groups=wide)
            y = network.convolution(y, (wide, other, 1), relu=False)
            x = network.add("Add", [x, y]) if stride == 1 and own == other else y
            own = other
    x = network.convolution(x, (own, _FEATURES, 1))
    features = network.add("Flatten", [network.add("GlobalAveragePool", [x])])
    weight = network.normal(_FEATURES, classes, deviation=1.0)
    # Random features are much the same for every image: without their mean they tell images apart.
    seen = _run(network, features, images)
    weight /= ((seen - seen.mean(axis=0)) @ weight).std()
    network.store(weight, "weight")
    network.store(-(seen.mean(axis=0) @ weight), "bias")
    network.nodes.append(helper.make_node("Gemm", [features, "weight", "bias"], ["scores"], name="scores"))
    onnx.save(_model(network, "scores", images.shape[1:]), path)
    return sum(int(np.prod(each.dims)) for each in network.stored)


def _model(network: _Network, output: str, shape: tuple[int, ...]) -> onnx.ModelProto:
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *shape])
    gives = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(network.nodes, "mobilenet_v2", [given], [gives], network.stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def _run(network: _Network, output: str, images: NDArray[np.float32]) -> NDArray[np.float32]:
    serialized = _model(network, output, images.shape[1:]).SerializeToString()
    session = ort.InferenceSession(serialized, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": each[None]})[0] for each in images])
