"""The nodes of a graph that ONNX Runtime optimised, subgraphs included, each with what it multiplies and in what."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.engines.counting import Shape
from bitpick.engines.executed import FLOAT32, Operator, activation_grid, dynamic_grid
from bitpick.engines.onnxruntime import work as onnx_work
from bitpick.engines.onnxruntime.scope import CONVERSIONS, NUMBERS, Scope, Stored, every_node, subgraphs
from bitpick.engines.onnxruntime.work import Call, Kind, Operand
from bitpick.schema.fingerprint import Grid

if TYPE_CHECKING:
    import onnx

TRANSPOSES = frozenset({"Transpose", "ReorderInput", "ReorderOutput"})
# They only move numbers, or write them in another format.
_PLUMBING = CONVERSIONS | TRANSPOSES | {
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Slice", "Concat", "Split", "Constant",
    "QLinearConcat",
}  # fmt: skip
_ROUNDS = 4  # the accuracy level at which a product with integer weights rounds its activations to 8 bits
_DTYPES = {"float": "float32", "float16": "float16", "bfloat16": "bfloat16", "uint8": "u8", "int8": "s8"}

Event = Mapping[str, Any]


def dtype(name: str) -> str:
    """The word of `Grid` for a runtime's word; what is no number of a network stays as it is."""
    return _DTYPES.get(name, name)


class Nodes:
    """Reads what the nodes of an optimised graph compute.

    Args:
        model: what the runtime executes.
        inferred: the same, with the shapes that are known without a run, for what did not run.
        shipped: the graph in the file.
        events: what the profiler tells of each time that a node ran.
        batch: how many samples ran at once.
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
        self._shipped_made = {name: node for node in nodes for name in node.output}
        self._shipped_shapes = {i.name: tuple(i.dims) for i in shipped.initializer}
        self._ran: dict[str, list[Any]] = defaultdict(list)
        for event in events:
            self._ran[event["name"].removesuffix("_kernel_time")].append(event["args"])
        self._counted: set[str] = set()

    def operators(self) -> list[Operator]:
        """Every operator that computes, in the graph's order; a subgraph's after the node that it belongs to."""
        return self._of_scope(self._main, inside_loop=False)

    def _of_scope(self, scope: Scope, inside_loop: bool) -> list[Operator]:
        found: list[Operator] = []
        for place, node in enumerate(scope.graph.node):
            inner = dict(subgraphs(scope.inferred.node[place])) if place < len(scope.inferred.node) else {}
            if node.op_type not in _PLUMBING:
                found += self._of_node(node, scope, inside_loop)
            loops = inside_loop or node.op_type != "If"
            parts = [
                (graph, self._of_scope(Scope(graph, inner.get(name, graph), scope, node), loops))
                for name, graph in subgraphs(node)
            ]
            found += self._one_branch(parts) if node.op_type == "If" else [o for _, part in parts for o in part]
        return found

    def _one_branch(self, branches: Sequence[tuple[onnx.GraphProto, list[Operator]]]) -> list[Operator]:
        """The operators of all branches, of which those that do the most count as work, where not all have run."""
        ran = [any(node.name in self._ran for node in every_node(graph)) for graph, _ in branches]
        work = [sum(operator.macs for operator in part) for _, part in branches]
        most = work.index(max(work))
        idle = [place for place in range(len(branches)) if place != most and not (ran[place] and ran[most])]
        return [
            replace(operator, macs=0) if place in idle else operator
            for place, (_, part) in enumerate(branches)
            for operator in part
        ]

    def _of_node(self, node: onnx.NodeProto, scope: Scope, inside_loop: bool) -> list[Operator]:
        name = re.sub(r"_token_\d+$", "", node.name).removesuffix("_nchwc")  # what the optimiser put at its end
        kind = onnx_work.kind_of(node)
        if kind is not None:
            return self._multiplies(node, name, kind, scope, inside_loop)
        if node.op_type in onnx_work.TABLES:
            return self._tables(node, name, scope)
        # A first input may be a condition, or a scale.
        found = Operator(name, node.op_type, self._dtype(node, "output_type_shape"))
        if node.op_type in onnx_work.NO_WEIGHTS:
            return [found]
        stored = [each for each in (scope.stored(given) for given in node.input) if each and each.values.size > 1]
        weights = sum(self._size(each) for each in stored)
        grid = stored[0].grid if stored else None
        return [replace(found, weight=grid, activation=grid and Grid(dtype="float32"), weights=weights, uncounted=True)]

    def _multiplies(
        self, node: onnx.NodeProto, name: str, kind: Kind, scope: Scope, inside_loop: bool
    ) -> list[Operator]:
        arithmetic = self._dtype(node)
        operands = kind.operands or tuple(Operand(place) for place in range(len(node.input)))
        macs, floats, uncounted = self._work(node, kind, scope, inside_loop)
        if node.op_type == "Einsum" and not macs and not uncounted:  # it is elementwise
            operands = ()
        stored = [(each, kept) for each in operands if (kept := self._operand(node, each, scope)) is not None]
        listed = sum(len(onnx_work.attributes(node).get(each, ())) for each in kind.attributes)
        if node.op_type == "MatMulNBits":
            return [self._blocks(node, name, arithmetic, macs, uncounted)]
        if node.domain == "com.microsoft.nchwc" and stored:
            if (scaling := self._scaling(node, name, stored[0][1])) is not None:
                return [scaling]
            name, stored, macs = self._before_blocking(name, stored, macs)
        grid = stored[0][1].grid if stored else FLOAT32 if listed else None
        activation = None if grid is None else Grid(dtype=arithmetic)
        if kind.integer:
            arithmetic, activation = self._integers(node, operands, stored, arithmetic, scope)
        weights = sum(self._size(each) for _, each in stored) + listed
        found = Operator(name, node.op_type, arithmetic, grid, activation, weights, macs, uncounted=uncounted)
        if floats and found.integer:
            return [found, Operator(name, f"{node.op_type} scores", "float32", macs=floats)]
        return [replace(found, macs=macs + floats)]

    def _integers(
        self,
        node: onnx.NodeProto,
        operands: Sequence[Operand],
        stored: Sequence[tuple[Operand, Stored]],
        arithmetic: str,
        scope: Scope,
    ) -> tuple[str, Grid | None]:
        """What an integer operator's activations are: rounded before with a zero point, or inside as it runs."""
        others = [each for each in operands if all(each is not other for other, _ in stored)]
        zero = scope.value(node, others[0].zero) if others else None
        if zero is not None and node.name not in self._ran:
            arithmetic = NUMBERS[zero.dtype.name]
        if node.op_type.startswith("QL") or node.op_type == "QGemm":
            return arithmetic, activation_grid(arithmetic, 0 if zero is None else int(zero.ravel()[0]))
        arithmetic = "u8" if arithmetic == "float32" else arithmetic
        return arithmetic, dynamic_grid(arithmetic)

    def _tables(self, node: onnx.NodeProto, name: str, scope: Scope) -> list[Operator]:
        """An operator that looks up rows. To look up numbers that are not a table only moves them."""
        places = onnx_work.TABLES[node.op_type]
        operands = [scope.stored(node.input[place]) for place in places if place < len(node.input)]
        tables = [each for each in operands if each is not None and each.values.ndim > 1]
        if not tables:
            return []
        out = self._dtype(node, "output_type_shape")
        return [Operator(name, node.op_type, out, tables[0].grid, weights=sum(self._size(each) for each in tables))]

    def _blocks(self, node: onnx.NodeProto, name: str, arithmetic: str, macs: int, uncounted: bool) -> Operator:
        """A product with integer weights, turned to floats as it computes, or multiplied with rounded activations."""
        found = onnx_work.attributes(node)
        # They are kept unsigned around 128, which is the signed grid around 0.
        grid = Grid(dtype=f"s{found['bits']}", granularity="per_channel", symmetric=True, bits=found["bits"])
        activation = Grid(dtype=arithmetic)
        if found.get("accuracy_level") == _ROUNDS:
            arithmetic, activation = "s8", dynamic_grid("s8")
        size = found["K"] * found["N"]
        return Operator(name, node.op_type, arithmetic, grid, activation, size, macs, uncounted=uncounted)

    def _scaling(self, node: onnx.NodeProto, name: str, weight: Stored) -> Operator | None:
        """The scale and shift of each channel that a convolution of blocked channels was; None where it was no such.

        The optimiser has a BatchNormalization, or a product with a number for each channel, computed as one.
        """
        channels = weight.values.shape[0]
        if weight.values.size != channels or onnx_work.attributes(node).get("group", 1) != channels:
            return None
        origin = self._shipped.get(name) or self._shipped_made.get(name)
        if origin is not None and origin.op_type not in ("BatchNormalization", "Mul"):
            return None
        kind = "Mul" if origin is None else origin.op_type  # where the optimiser made up the name, it was a product
        return Operator(name, kind, self._dtype(node, "output_type_shape"))

    def _before_blocking(
        self, name: str, stored: list[tuple[Operand, Stored]], macs: int
    ) -> tuple[str, list[tuple[Operand, Stored]], int]:
        """What a convolution was before its channels were filled up to whole blocks: name, weight, and work.

        It has the name of the last node fused into it. Where the optimiser made up a name, what is stored counts.
        """
        origin = self._shipped.get(name) or self._shipped_made.get(name)
        while origin is not None and onnx_work.kind_of(origin) is None:
            origin = self._shipped_made.get(origin.input[0]) if origin.input else None
        (operand, weight) = stored[0]
        shape = None if origin is None else self._shipped_shapes.get(origin.input[1])
        if origin is None or shape is None:
            return (name if origin is None else origin.name), stored, macs
        whole = replace(weight, values=np.broadcast_to(weight.values.ravel()[:1].reshape(()), shape))
        return origin.name, [(operand, whole)], macs * math.prod(shape) // weight.values.size

    def _work(self, node: onnx.NodeProto, kind: Kind, scope: Scope, inside_loop: bool) -> tuple[int, int, bool]:
        """Work for one sample, that which is done in float in any case, and whether it could not be counted."""
        calls = [self._call(node, args, scope) for args in self._ran.get(node.name, ())]
        if not calls and not inside_loop:  # a branch that was not taken
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
        """One run of a node. The profiler leaves out stored operands that the runtime has packed for its kernels."""
        told = [list(next(iter(each.values()))) for each in args["input_type_shape"]]
        names = [name for name in node.input if name]
        computed = sum(name not in scope.values for name in names)
        inputs: list[Shape | None] = []
        for name in node.input:
            stored = scope.stored_shape(name) if name else None
            if not name:
                inputs.append(None)
            elif stored is None:
                inputs.append(told.pop(0) if told else None)
                computed -= 1
            else:
                if len(told) > computed and told[0] == list(stored):
                    told.pop(0)
                inputs.append(stored)
        outputs = [list(next(iter(each.values()))) for each in args["output_type_shape"]]
        return Call(node, inputs, outputs)

    def _operand(self, node: onnx.NodeProto, operand: Operand, scope: Scope) -> Stored | None:
        """The stored operand at a place; None where it is computed."""
        if operand.at >= len(node.input):
            return None
        found = scope.stored(node.input[operand.at])
        if found is None or found.values.dtype not in (np.int8, np.uint8):
            return found
        if not found.between:
            zeros, scales = scope.value(node, operand.zero), scope.value(node, operand.scale)
            found = replace(found, zeros=zeros, scales=zeros if scales is None else scales)
        return replace(found, channels=_channels(node, operand.at, found))

    def _size(self, stored: Stored) -> int:
        """How many weights a stored operand adds to those that are counted."""
        if stored.name in self._counted:
            return 0
        self._counted.add(stored.name)
        return int(stored.values.size)

    def _dtype(self, node: onnx.NodeProto, side: str = "input_type_shape") -> str:
        """The dtype of the first numbers that went into a node, or came out, when it ran."""
        ran = self._ran.get(node.name)
        first = next(iter(ran[0][side][0]), "float") if ran and ran[0][side] else "float"
        return dtype(first)


def _channels(node: onnx.NodeProto, place: int, stored: Stored) -> int | None:
    """How many output channels the weights at a place have; None where their axes were rearranged."""
    shape = stored.values.shape
    if set(stored.between) - CONVERSIONS or len(shape) < 2:
        return None
    if "Conv" in node.op_type:
        return int(shape["Transpose" in node.op_type])
    if place == 0 or onnx_work.attributes(node).get("transB"):
        return int(shape[-2])
    return int(shape[-1])
