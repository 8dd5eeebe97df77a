"""The tensors inside a LiteRT file, which an interpreter preserves on request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitpick.conversion import litert_file
from bitpick.engines.engine import Build
from bitpick.engines.insides import Insides, Pair
from bitpick.engines.litert import graph
from bitpick.preprocessing import Arrays


class LiteRtInsides(Insides):
    """See `Insides`. Tensors keep their names when a file is quantized.

    Args:
        floats: the float build.
        build: a quantized build of the same file.
    """

    def __init__(self, floats: Build, build: Build) -> None:
        self._layers = graph.layers(floats.main)
        self._floats, self._build = _open(floats), _open(build)

    def weights(self) -> Iterator[Pair]:
        """See `Insides.weights`."""
        floats, build = _tensors(self._floats), _tensors(self._build)
        for name, layer in self._layers.items():
            if layer.weight and layer.weight in floats and layer.weight in build:
                outputs = -1 if layer.kind.startswith("DEPTHWISE") else 0
                expected, restored = _read(self._floats, floats[layer.weight]), _read(self._build, build[layer.weight])
                yield name, np.moveaxis(expected, outputs, 0), np.moveaxis(restored, outputs, 0)

    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        """See `Insides.outputs`."""
        for interpreter in (self._floats, self._build):
            _run(interpreter, batch)
        floats, build = _tensors(self._floats), _tensors(self._build)
        for name, layer in self._layers.items():
            if layer.output in floats and layer.output in build:
                expected, actual = _read(self._floats, floats[layer.output]), _read(self._build, build[layer.output])
                if expected.shape == actual.shape:
                    yield name, expected, actual


def _open(build: Build) -> Any:
    """Return an interpreter that preserves every tensor, without delegates, because they fuse operators."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(build.main),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter


def _run(interpreter: Any, batch: Arrays) -> None:
    sources = litert_file.inputs_and_outputs(interpreter)[0]
    for source, array in zip(sources, batch, strict=True):
        interpreter.resize_tensor_input(source["index"], array.shape)
    interpreter.allocate_tensors()
    for source, array in zip(sources, batch, strict=True):
        interpreter.set_tensor(source["index"], graph.native(source, array))
    interpreter.invoke()


def _tensors(interpreter: Any) -> dict[str, Any]:
    """Return the tensors by name; if a DEQUANTIZE duplicates a name, the first one."""
    by_name: dict[str, Any] = {}
    for tensor in interpreter.get_tensor_details():
        by_name.setdefault(tensor["name"], tensor)
    return by_name


def _read(interpreter: Any, tensor: Any) -> NDArray[np.float32]:
    values: NDArray[Any] = interpreter.get_tensor(tensor["index"])
    parameters = tensor["quantization_parameters"]
    if not np.issubdtype(values.dtype, np.integer) or not len(parameters["scales"]):
        return values.astype(np.float32, copy=False)
    shape = [1] * values.ndim
    if len(parameters["scales"]) > 1:
        shape[parameters["quantized_dimension"]] = len(parameters["scales"])
    zeros, scales = (parameters[key].reshape(shape).astype(np.float32) for key in ("zero_points", "scales"))
    restored: NDArray[np.float32] = (values.astype(np.float32) - zeros) * scales
    return restored
