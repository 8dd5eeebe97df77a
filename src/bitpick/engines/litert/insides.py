"""The tensors inside a LiteRT file, as the interpreter keeps them when it is told to."""

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
    """See `Insides`. Tensors have the same names in a float file and in those that were made from it.

    Args:
        floats: the float build.
        build: a quantized build, from the same file.
    """

    def __init__(self, floats: Build, build: Build) -> None:
        self._layers = graph.layers(floats.main)
        self._floats, self._build = _open(floats), _open(build)

    def weights(self) -> Iterator[Pair]:
        """See `Insides.weights`."""
        floats, build = _tensors(self._floats), _tensors(self._build)
        for layer, each in self._layers.items():
            if each.weight and each.weight in floats and each.weight in build:
                outputs = -1 if each.kind.startswith("DEPTHWISE") else 0
                expected, found = _read(self._floats, floats[each.weight]), _read(self._build, build[each.weight])
                yield layer, np.moveaxis(expected, outputs, 0), np.moveaxis(found, outputs, 0)

    def outputs(self, batch: Arrays) -> Iterator[Pair]:
        """See `Insides.outputs`."""
        for interpreter in (self._floats, self._build):
            _run(interpreter, batch)
        floats, build = _tensors(self._floats), _tensors(self._build)
        for layer, each in self._layers.items():
            if each.output in floats and each.output in build:
                expected, found = _read(self._floats, floats[each.output]), _read(self._build, build[each.output])
                if expected.shape == found.shape:
                    yield layer, expected, found


def _open(build: Build) -> Any:
    """An interpreter that keeps every tensor, which rules out delegates: they fuse what lies between."""
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
    """The tensors by name; of two with one name, which a DEQUANTIZE makes, the first."""
    found: dict[str, Any] = {}
    for tensor in interpreter.get_tensor_details():
        found.setdefault(tensor["name"], tensor)
    return found


def _read(interpreter: Any, tensor: Any) -> NDArray[np.float32]:
    values: NDArray[Any] = interpreter.get_tensor(tensor["index"])
    numbers = tensor["quantization_parameters"]
    if not np.issubdtype(values.dtype, np.integer) or not len(numbers["scales"]):
        return values.astype(np.float32, copy=False)
    shape = [1] * values.ndim
    if len(numbers["scales"]) > 1:
        shape[numbers["quantized_dimension"]] = len(numbers["scales"])
    zeros, scales = (numbers[name].reshape(shape).astype(np.float32) for name in ("zero_points", "scales"))
    restored: NDArray[np.float32] = (values.astype(np.float32) - zeros) * scales
    return restored
