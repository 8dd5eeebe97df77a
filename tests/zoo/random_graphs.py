"""Random valid ONNX graphs: operators drawn with shapes and types, one after the other, on what there is so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Choose = Callable[[Sequence[Any]], Any]
"""Draws one of several."""
RECIPES = (
    *("s8u8-per_channel-minmax+reduced_range",) * 4, "s8s8-per_tensor-minmax", "u8u8-per_tensor-minmax",
    "s8u8-per_channel-minmax+qoperator", "s8u8-per_channel-percentile99.99+reduced_range", "s8dynamic", "s8weights",
)  # fmt: skip
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        name: its name.
        shape: of one sample, without the batch axis.
        kind: its type.
    """

    name: str
    shape: tuple[int, ...]
    kind: int = FLOAT

    @property
    def rank(self) -> int:
        return len(self.shape)


@dataclass(frozen=True)
class Drawn:
    """A graph, samples of each input, of shape (n, …), in the order of its inputs, and a recipe to build it by."""

    model: onnx.ModelProto
    inputs: Mapping[str, NDArray[Any]]
    axes: tuple[int | None, ...]
    recipe: str


@dataclass
class Builder:
    """A graph that grows.

    Attributes:
        choose: draws.
        batch: the size of the batch axis, `batch` where it is free, None where there is no such axis.
        random: the source of what is stored.
    """

    choose: Choose
    batch: str | int | None
    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: list[onnx.TensorProto] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    count: int = 0

    @property
    def lead(self) -> int:
        """Axes before those of a sample."""
        return 0 if self.batch is None else 1

    def full(self, value: Value) -> tuple[Any, ...]:
        """Its shape with the batch."""
        return value.shape if self.batch is None else (self.batch, *value.shape)

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def store(self, array: Any) -> str:
        """Store a tensor, as an initializer, or now and then as a Constant."""
        tensor = numpy_helper.from_array(np.asarray(array), self.name("k"))
        if self.choose([False] * 7 + [True]):
            self.nodes.append(helper.make_node("Constant", [], [tensor.name], value=tensor))
        else:
            self.stored.append(tensor)
        return str(tensor.name)

    def weights(self, *shape: int) -> str:
        """Store normal numbers whose products keep their scale; now and then some are nothing, or tiny."""
        drawn = self.random.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:])))
        odd = self.choose(["no"] * 12 + ["zero", "tiny", "large"])
        if odd != "no" and drawn.ndim:
            drawn[0] *= {"zero": 0.0, "tiny": 1e-9, "large": 100.0}[odd]
        return self.store(drawn.astype(np.float32))

    def add(self, operator: str, inputs: Sequence[str], shape: Sequence[int], kind: int = FLOAT, **more: Any) -> Value:
        """Add a node with one output that matters; `outputs` names how many it has."""
        outputs = [self.name("t") for _ in range(more.pop("outputs", 1))]
        place = more.pop("place", 0)
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, self.name(f"{operator}_"), **more))
        value = Value(outputs[place], tuple(int(each) for each in shape), kind)
        self.values.append(value)
        return value

    def pick(self, least: int = 0, most: int = 9, kind: int = FLOAT) -> Value | None:
        """A tensor of this rank and type, the newest rather than an old one; None where there is none."""
        there = [v for v in self.values if least <= v.rank <= most and v.kind == kind and np.prod(v.shape) <= 4000]
        return self.choose(there[-1:] * 2 + there[-4:]) if there else None

    def axis(self, value: Value) -> int:
        """An axis of a sample, counted from the front of the whole tensor, or from its end."""
        axis = self.choose(range(value.rank))
        return axis + self.lead if self.choose([True, False]) else axis - value.rank

    def place(self, value: Value, axis: int) -> int:
        """An axis of `axis` in the shape of a sample."""
        return axis - self.lead if axis >= 0 else axis + value.rank


Step = Callable[[Builder], Any]
STEPS: dict[str, tuple[Step, int]] = {}


def step(times: int = 1) -> Callable[[Step], Step]:
    """Enter a way to go on; it returns at once where nothing there fits. `times` is how likely it is."""

    def enter(function: Step) -> Step:
        STEPS[function.__name__] = (function, times)
        return function

    return enter


def build(choose: Choose, most: int = 8) -> Drawn:
    """A random graph of at most so many drawn operators, and 40 samples for it."""
    import tests.zoo.random_odd
    import tests.zoo.random_steps  # noqa: F401

    builder = Builder(choose, choose(["batch"] * 6 + [1, 4, None]), np.random.default_rng(choose(range(1000))))
    inputs = _inputs(builder)
    likely = [function for function, times in STEPS.values() for _ in range(times)]
    for _ in range(choose(range(1, most + 1))):
        choose(likely)(builder)
    if not any(node.op_type in ("MatMul", "Gemm", "Conv") for node in builder.nodes):
        STEPS["product"][0](builder)  # something to quantize
    outputs = _outputs(builder, len(inputs))
    if choose([False] * 15 + [True]):
        builder.nodes.reverse()  # ONNX Runtime sorts them
    return _finished(builder, inputs, outputs)


def _inputs(builder: Builder) -> list[Value]:
    """One input, or several."""
    shapes = [(6,), (3, 8), (3, 6, 6), (4, 5, 7), (2, 3, 3, 2), (1,), ()]
    for _ in range(builder.choose([1, 1, 1, 2, 3])):
        kind = builder.choose([FLOAT] * 6 + [INT64])
        shape = builder.choose(shapes)
        if builder.batch is None and shape == ():
            shape = (6,)
        builder.values.append(Value(builder.name("in"), shape, kind))
    return list(builder.values)


def _outputs(builder: Builder, inputs: int) -> list[Value]:
    """What nothing takes, and now and then what something does."""
    taken = {name for node in builder.nodes for name in node.input}
    made = [v for v in builder.values[inputs:] if v.kind in (FLOAT, INT64)]
    if not made:
        first = builder.values[0]
        if first.kind != FLOAT:
            first = builder.add("Cast", [first.name], first.shape, to=FLOAT)
        made = [builder.add("Relu", [first.name], first.shape)]
    loose = [v for v in made if v.name not in taken] or made[-1:]
    more = [builder.choose(made)] if builder.choose([False] * 4 + [True]) else []
    return list(dict.fromkeys([*loose[-builder.choose([1, 1, 2, 3]) :], *more]))


def _finished(builder: Builder, inputs: list[Value], outputs: list[Value]) -> Drawn:
    """The model of what was drawn, with samples."""
    graph = helper.make_graph(
        builder.nodes,
        "random",
        [helper.make_tensor_value_info(v.name, v.kind, builder.full(v)) for v in inputs],
        [helper.make_tensor_value_info(v.name, v.kind, builder.full(v)) for v in outputs],
        builder.stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    random, scale = builder.random, builder.choose([1.0] * 6 + [100.0, 0.01])
    samples = {
        v.name: random.integers(0, 5, (40, *v.shape))
        if v.kind == INT64
        else (scale * random.normal(size=(40, *v.shape))).astype(np.float32)
        for v in inputs
    }
    recipe = f"onnxruntime:{builder.choose(RECIPES)}"
    return Drawn(model, samples, (0 if builder.batch is not None else None,) * len(inputs), recipe)
