"""Read the nodes of a graph that ONNX Runtime optimized, including subgraphs: what each multiplies, and its dtypes."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.engines.counting import Shape
from bitpick.engines.executed import FLOAT32, INTEGERS, Operator, activation_grid, dynamic_grid
from bitpick.engines.onnxruntime import work as onnx_work
from bitpick.engines.onnxruntime.scope import CONVERSIONS, NUMBERS, Scope, Stored, every_node, subgraphs
from bitpick.engines.onnxruntime.work import Call, Kind, Operand
from bitpick.schema.fingerprint import Grid

if TYPE_CHECKING:
    import onnx

TRANSPOSES = frozenset({"Transpose", "ReorderInput", "ReorderOutput"})
# Operators that only move data or convert its format.
_PLUMBING = CONVERSIONS | TRANSPOSES | {
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Slice", "Concat", "Split", "Constant",
    "QLinearConcat",
}  # fmt: skip
_ROUNDS_ACTIVATIONS = 4  # the accuracy level at which MatMulNBits rounds its activations to 8 bits
_DTYPES = {"float": "float32", "float16": "float16", "bfloat16": "bfloat16", "uint8": "u8", "int8": "s8"}

Event = Mapping[str, Any]


def dtype(name: str) -> str:
    """Return `Grid`'s name for a runtime's dtype; other dtypes, such as those of indices, stay as they are."""
    return _DTYPES.get(name, name)


class Nodes:
    """Reads what the nodes of an optimized graph compute.

    Args:
        model: the model that the runtime executes.
        inferred: the same model with inferred shapes, for nodes that did not run.
        shipped: the graph in the build's file.
        events: the profiler's events, one for each run of a node.
        batch: number of samples in the profiled run.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        inferred: onnx.ModelProto,
        shipped: onnx.GraphProto,
        events: Iterable[Event],
        batch: int,
    ) -> None:
        self._batch = batch
        self._main = Scope(model.graph, inferred.graph)
        nodes = list(every_node(shipped))
        self._shipped = {node.name: node for node in nodes}
        self._shipped_producers = {name: node for node in nodes for name in node.output}
        self._shipped_shapes = {i.name: tuple(i.dims) for i in shipped.initializer}
        self._events: dict[str, list[Any]] = defaultdict(list)
        for event in events:
            self._events[event["name"].removesuffix("_kernel_time")].append(event["args"])
        self._counted: set[str] = set()

    def operators(self) -> list[Operator]:
        """Return every operator that computes, in graph order; those of a subgraph follow the node that contains it."""
        return self._of_scope(self._main, inside_loop=False)

    def _of_scope(self, scope: Scope, inside_loop: bool) -> list[Operator]:
        operators: list[Operator] = []
        for place, node in enumerate(scope.graph.node):
            inferred = dict(subgraphs(scope.inferred.node[place])) if place < len(scope.inferred.node) else {}
            if node.op_type not in _PLUMBING:
                operators += self._of_node(node, scope, inside_loop)
            in_loop = inside_loop or node.op_type != "If"
            bodies = [
                (graph, self._of_scope(Scope(graph, inferred.get(name, graph), scope, node), in_loop))
                for name, graph in subgraphs(node)
            ]
            operators += (
                self._count_one_branch(bodies) if node.op_type == "If" else [o for _, part in bodies for o in part]
            )
        return operators

    def _count_one_branch(self, branches: Sequence[tuple[onnx.GraphProto, list[Operator]]]) -> list[Operator]:
        """Return the operators of all branches; unless all branches ran, only those of the largest count as work."""
        has_run = [any(node.name in self._events for node in every_node(graph)) for graph, _ in branches]
        work = [sum(operator.macs for operator in part) for _, part in branches]
        largest = work.index(max(work))
        idle = [
            place for place in range(len(branches)) if place != largest and not (has_run[place] and has_run[largest])
        ]
        return [
            replace(operator, macs=0) if place in idle else operator
            for place, (_, part) in enumerate(branches)
            for operator in part
        ]

    def _of_node(self, node: onnx.NodeProto, scope: Scope, inside_loop: bool) -> list[Operator]:
        name = re.sub(r"_token_\d+$", "", node.name).removesuffix("_nchwc")  # suffixes that the optimizer adds
        kind = onnx_work.kind_of(node)
        if kind is not None:
            return self._multiplies(node, name, kind, scope, inside_loop)
        if node.op_type in onnx_work.TABLES:
            return self._tables(node, name, scope)
        # The output's dtype, because the first input may be a condition or a scale.
        operator = Operator(name, node.op_type, self._dtype(node, "output_type_shape"))
        if node.op_type in onnx_work.NO_WEIGHTS:
            return [operator]
        stored = [each for each in (scope.stored(input_) for input_ in node.input) if each and each.values.size > 1]
        weights = sum(self._size(each) for each in stored)
        grid = stored[0].grid if stored else None
        return [
            replace(operator, weight=grid, activation=grid and Grid(dtype="float32"), weights=weights, uncounted=True)
        ]

    def _multiplies(
        self, node: onnx.NodeProto, name: str, kind: Kind, scope: Scope, inside_loop: bool
    ) -> list[Operator]:
        arithmetic = self._dtype(node)
        operands = kind.operands or tuple(Operand(place) for place in range(len(node.input)))
        macs, floats, uncounted = self._work(node, kind, scope, inside_loop)
        if node.op_type == "Einsum" and not macs and not uncounted:  # it is elementwise
            operands = ()
        stored = [(each, tensor) for each in operands if (tensor := self._operand(node, each, scope)) is not None]
        listed_weights = sum(len(onnx_work.attributes(node).get(each, ())) for each in kind.attributes)
        if node.op_type == "MatMulNBits":
            return [self._blocks(node, name, arithmetic, macs, uncounted)]
        if node.domain == "com.microsoft.nchwc" and stored:
            if (scaling := self._scaling(node, name, stored[0][1])) is not None:
                return [scaling]
            name, stored, macs = self._before_blocking(name, stored, macs)
        grid = stored[0][1].grid if stored else FLOAT32 if listed_weights else None
        activation = None if grid is None else Grid(dtype=arithmetic)
        if kind.integer:
            arithmetic, activation = self._integers(node, operands, stored, arithmetic, scope)
        weights = sum(self._size(each) for _, each in stored) + listed_weights
        operator = Operator(name, node.op_type, arithmetic, grid, activation, weights, macs, uncounted=uncounted)
        if floats and operator.integer:
            return [operator, Operator(name, f"{node.op_type} scores", "float32", macs=floats)]
        return [replace(operator, macs=macs + floats)]

    def _integers(
        self,
        node: onnx.NodeProto,
        operands: Sequence[Operand],
        stored: Sequence[tuple[Operand, Stored]],
        arithmetic: str,
        scope: Scope,
    ) -> tuple[str, Grid | None]:
        """Return an integer operator's arithmetic and the grid of its activations, either static or dynamic."""
        others = [each for each in operands if all(each is not other for other, _ in stored)]
        zero = scope.value(node, others[0].zero) if others else None
        if zero is not None and node.name not in self._events:
            arithmetic = NUMBERS[zero.dtype.name]
        if node.op_type.startswith("QL") or node.op_type == "QGemm":
            return arithmetic, activation_grid(arithmetic, 0 if zero is None else int(zero.ravel()[0]))
        arithmetic = "u8" if arithmetic == "float32" else arithmetic
        return arithmetic, dynamic_grid(arithmetic)

    def _tables(self, node: onnx.NodeProto, name: str, scope: Scope) -> list[Operator]:
        """Return an operator that looks up rows; none if it reads no stored table, because then it only moves data."""
        places = onnx_work.TABLES[node.op_type]
        operands = [scope.stored(node.input[place]) for place in places if place < len(node.input)]
        tables = [each for each in operands if each is not None and each.values.ndim > 1]
        if not tables:
            return []
        out = self._dtype(node, "output_type_shape")
        return [Operator(name, node.op_type, out, tables[0].grid, weights=sum(self._size(each) for each in tables))]

    def _blocks(self, node: onnx.NodeProto, name: str, arithmetic: str, macs: int, uncounted: bool) -> Operator:
        """Return a MatMulNBits, whose kernel dequantizes the weights or rounds the activations."""
        attributes = onnx_work.attributes(node)
        # Stored as unsigned numbers around the middle, which is the signed grid around 0.
        grid = Grid(dtype=f"s{attributes['bits']}", granularity="per_channel", symmetric=True, bits=attributes["bits"])
        activation = Grid(dtype=arithmetic)
        if attributes.get("accuracy_level") == _ROUNDS_ACTIVATIONS:
            arithmetic, activation = "s8", dynamic_grid("s8")
        size = attributes["K"] * attributes["N"]
        return Operator(name, node.op_type, arithmetic, grid, activation, size, macs, uncounted=uncounted)

    def _scaling(self, node: onnx.NodeProto, name: str, weight: Stored) -> Operator | None:
        """Return the per-channel scale and shift that a blocked convolution stands for; None if it is a real one.

        The optimizer turns a BatchNormalization, or a product with one number for each channel, into a convolution.
        """
        channels = weight.values.shape[0]
        if weight.values.size != channels or onnx_work.attributes(node).get("group", 1) != channels:
            return None
        origin = self._shipped.get(name) or self._shipped_producers.get(name)
        if origin is not None and origin.op_type not in ("BatchNormalization", "Mul"):
            return None
        kind = "Mul" if origin is None else origin.op_type  # the optimizer invents a name only for a product
        return Operator(name, kind, self._dtype(node, "output_type_shape"))

    def _before_blocking(
        self, name: str, stored: list[tuple[Operand, Stored]], macs: int
    ) -> tuple[str, list[tuple[Operand, Stored]], int]:
        """Return name, weight and work of a convolution before its channels were padded to whole blocks.

        The blocked node has the name of the last node fused into it. If the optimizer invented the name, the stored
        weight counts as it is.
        """
        origin = self._shipped.get(name) or self._shipped_producers.get(name)
        while origin is not None and onnx_work.kind_of(origin) is None:
            origin = self._shipped_producers.get(origin.input[0]) if origin.input else None
        (operand, weight) = stored[0]
        shape = None if origin is None else self._shipped_shapes.get(origin.input[1])
        if origin is None or shape is None:
            return (name if origin is None else origin.name), stored, macs
        unpadded = replace(weight, values=np.broadcast_to(weight.values.ravel()[:1].reshape(()), shape))
        return origin.name, [(operand, unpadded)], macs * math.prod(shape) // weight.values.size

    def _work(self, node: onnx.NodeProto, kind: Kind, scope: Scope, inside_loop: bool) -> tuple[int, int, bool]:
        """Return the work for one sample, the part of it that is always in float, and whether it is uncounted."""
        calls = [self._call(node, args, scope) for args in self._events.get(node.name, ())]
        if not calls and not inside_loop:  # it is in a branch that was not taken
            shapes = [
                [scope.stored_shape(n) or scope.shapes.get(n) for n in names] for names in (node.input, node.output)
            ]
            calls = [Call(node, *shapes)]
        try:
            macs = sum(kind.macs(call) for call in calls)
            floats = sum(kind.floats(call) for call in calls) if kind.floats else 0
        except (onnx_work.Unknown, LookupError, ValueError):
            return 0, 0, True
        return macs // self._batch, floats // self._batch, not calls

    def _call(self, node: onnx.NodeProto, args: Mapping[str, Any], scope: Scope) -> Call:
        """Return one run of a node, including stored operands that the profiler omits after the runtime packs them."""
        reported = [list(next(iter(each.values()))) for each in args["input_type_shape"]]
        names = [name for name in node.input if name]
        computed = sum(name not in scope.values for name in names)
        inputs: list[Shape | None] = []
        for name in node.input:
            stored = scope.stored_shape(name) if name else None
            if not name:
                inputs.append(None)
            elif stored is None:
                inputs.append(reported.pop(0) if reported else None)
                computed -= 1
            else:
                if len(reported) > computed and reported[0] == list(stored):
                    reported.pop(0)
                inputs.append(stored)
        outputs = [list(next(iter(each.values()))) for each in args["output_type_shape"]]
        return Call(node, inputs, outputs)

    def _operand(self, node: onnx.NodeProto, operand: Operand, scope: Scope) -> Stored | None:
        """Return the stored operand at a position; None if it is computed."""
        if operand.at >= len(node.input):
            return None
        stored = scope.stored(node.input[operand.at])
        if stored is None or NUMBERS[stored.values.dtype.name] not in INTEGERS:
            return stored
        if not stored.between:
            zeros, scales = scope.value(node, operand.zero), scope.value(node, operand.scale)
            stored = replace(stored, zeros=zeros, scales=zeros if scales is None else scales)
        return replace(stored, channels=_channels(node, operand.at, stored))

    def _size(self, stored: Stored) -> int:
        """Return how many weights a stored operand adds to those already counted."""
        if stored.name in self._counted:
            return 0
        self._counted.add(stored.name)
        return int(stored.values.size)

    def _dtype(self, node: onnx.NodeProto, side: str = "input_type_shape") -> str:
        """Return the dtype of a node's first input, or first output, in the profiled run."""
        runs = self._events.get(node.name)
        name = next(iter(runs[0][side][0]), "float") if runs and runs[0][side] else "float"
        return dtype(name)


def _channels(node: onnx.NodeProto, place: int, stored: Stored) -> int | None:
    """Return the number of output channels of the weights at a position; None if their axes were rearranged."""
    shape = stored.values.shape
    if set(stored.between) - CONVERSIONS or len(shape) < 2:
        return None
    if "Conv" in node.op_type:
        return int(shape["Transpose" in node.op_type])
    if place == 0 or onnx_work.attributes(node).get("transB"):
        return int(shape[-2])
    return int(shape[-1])
