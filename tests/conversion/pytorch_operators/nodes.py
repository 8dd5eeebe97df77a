"""Small random nodes of ONNX operators, and what ONNX Runtime and the imported module make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from bitpick.conversion.pytorch_operators.registry import coverage

OPSETS = st.sampled_from([13, 17, 18, 21, 23])


@dataclass(frozen=True)
class Node:
    """A node with its inputs.

    Attributes:
        operator: its operator.
        inputs: arrays in the node's order; None for one that is left out.
        stored: which of them are stored in the graph; the others are the graph's inputs.
        attributes: its attributes.
        opset: version of its operator set.
        outputs: how many it has.
        free: whether the leading axis of the graph's inputs is the batch, of any size.
    """

    operator: str
    inputs: list[np.ndarray | None]
    stored: set[int] = field(default_factory=set)
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    free: bool = False

    @property
    def given(self) -> list[np.ndarray]:
        return [array for i, array in enumerate(self.inputs) if array is not None and i not in self.stored]


def value(name: str, array: np.ndarray, free: bool = False) -> onnx.ValueInfoProto:
    shape = ["batch", *array.shape[1:]] if free else array.shape
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)


def model(node: Node) -> onnx.ModelProto:
    """A graph of that one node."""
    arrays = [(i, f"x{i}", array) for i, array in enumerate(node.inputs) if array is not None]
    graph = helper.make_graph(
        [
            helper.make_node(
                node.operator,
                ["" if array is None else f"x{i}" for i, array in enumerate(node.inputs)],
                [f"y{i}" for i in range(node.outputs)],
                "the.node",
                **node.attributes,
            )
        ],
        "one",
        [value(name, array, node.free) for i, name, array in arrays if i not in node.stored],
        [onnx.ValueInfoProto(name=f"y{i}") for i in range(node.outputs)],  # the runtime finds the types
        [onnx.numpy_helper.from_array(array, name) for i, name, array in arrays if i in node.stored],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)], ir_version=10)


def graph_of(
    nodes: Iterable[tuple[str, list[str], list[str], dict[str, Any]]],
    inputs: Iterable[tuple[Any, ...]],
    outputs: Iterable[str],
    stored: Mapping[str, Any] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A graph of nodes (operator, inputs, outputs, attributes), which get their operator and number as names.

    Inputs are (name, shape), or (name, shape, type) where they are not float32.
    """
    given = [(name, shape, *(kind or [onnx.TensorProto.FLOAT])) for name, shape, *kind in inputs]
    arrays = {name: np.asarray(array) for name, array in (stored or {}).items()}
    graph = helper.make_graph(
        [helper.make_node(op, ins, outs, f"{op}.{i}", **a) for i, (op, ins, outs, a) in enumerate(nodes)],
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape, kind in given],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def in_onnxruntime(graph: onnx.ModelProto) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def in_pytorch(graph: onnx.ModelProto) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    import torch

    from bitpick.conversion.pytorch_from_onnx import import_graph

    module = import_graph(graph)

    def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
        with torch.inference_mode():
            found = module(*(torch.from_numpy(array) for array in arrays))
        return [each.numpy() for each in (found if isinstance(found, tuple) else (found,))]

    return run


def check_graph(graph: onnx.ModelProto, batches: list[list[np.ndarray]]) -> None:
    """Both give the same, for each batch."""
    expected, found = in_onnxruntime(graph), in_pytorch(graph)
    for batch in batches:
        for one, other in zip(expected(batch), found(batch), strict=True):
            assert other.dtype == one.dtype
            assert other.shape == one.shape
            np.testing.assert_allclose(other, one, rtol=2e-4, atol=2e-5)


def check(node: Node) -> None:
    """Both give the same; where the batch is free, for a larger batch too."""
    batches = [node.given]
    if node.free:
        batches.append([np.concatenate([array, array[:1]]) for array in node.given])
    check_graph(model(node), batches)


Strategy = Callable[[str], st.SearchStrategy[Node]]


class Family:
    """The strategies of the operators that one file of the importer covers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.strategies: dict[str, Strategy] = {}

    def __call__(self, *operators: str) -> Callable[[Callable[..., Node]], Callable[..., Node]]:
        """Register a function of Hypothesis' `draw` and an operator that makes a node of it."""

        def register(make: Callable[..., Node]) -> Callable[..., Node]:
            self.strategies.update((name, st.composite(make)) for name in operators)
            return make

        return register

    def test(self, examples: int = 20) -> Callable[..., None]:
        """A test of each of its operators."""

        @pytest.mark.parametrize("operator", sorted(self.strategies))
        @settings(max_examples=examples, derandomize=True, deadline=None, database=None)
        @given(data=st.data())
        def test(operator: str, data: st.DataObject) -> None:
            check(data.draw(self.strategies[operator](operator)))

        return test

    def missing(self) -> set[str]:
        """Its operators that have a converter and no strategy, or a strategy and no converter."""
        return {each.operator for each in coverage() if each.family == self.name} ^ set(self.strategies)


def numbers(draw: Any, *shape: int, low: float = -2.0, high: float = 2.0, dtype: Any = np.float32) -> np.ndarray:
    """An array of random numbers of that shape."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return np.asarray(rng.random(shape) * (high - low) + low).astype(dtype)


def integers(draw: Any, low: int, high: int, *shape: int) -> np.ndarray:
    """An array of random integers from low to high, both included."""
    return np.random.default_rng(draw(st.integers(0, 2**16))).integers(low, high + 1, shape)


def tensor(draw: Any, fewest: int = 1, most: int = 4, **options: Any) -> np.ndarray:
    """An array of random numbers, of so many axes at least and at most."""
    return numbers(draw, *draw(st.lists(st.integers(1, 4), min_size=fewest, max_size=most)), **options)


def image(draw: Any, axes: int | None = None, channels: int | None = None, size: int = 5, **options: Any) -> np.ndarray:
    """An array of samples, channels and one to three spatial axes of that size and more."""
    axes = draw(st.integers(1, 3)) if axes is None else axes
    spatial = draw(st.lists(st.integers(size, size + 3), min_size=axes, max_size=axes))
    return numbers(draw, 2, channels or draw(st.integers(1, 4)), *spatial, **options)
