"""Read the operators of a LiteRT file, including subgraphs: what each multiplies, and its dtypes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bitpick.engines.executed import BITS, INTEGERS, Operator, activation_grid, dynamic_grid, weight_grid
from bitpick.engines.litert import work
from bitpick.engines.litert.file import File, Graph, Op, turns
from bitpick.engines.litert.work import Kind
from bitpick.schema.fingerprint import Grid

CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE", "CAST"})
# Operators that only move data or convert its format; those that a delegate takes over are listed separately.
PLUMBING = CONVERSIONS | {
    "SHAPE", "STRIDED_SLICE", "SLICE", "PACK", "UNPACK", "RESHAPE", "TRANSPOSE",
    "SQUEEZE", "EXPAND_DIMS", "CONCATENATION", "SPLIT", "GATHER", "DELEGATE",
}  # fmt: skip
_RUNS_GRAPHS = {"WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_WHILE"}
_DTYPES = {"int8": "s8", "uint8": "u8", "int16": "s16"}


def dtype(tensor: Any) -> str:
    """Return the dtype of a tensor, by `Grid`'s name if it has one."""
    name: str = tensor["dtype"].__name__
    return _DTYPES.get(name, name)


@dataclass(frozen=True)
class _Stored:
    """A stored tensor: its graph and index, the interpreter's details, and whether it is dequantized before use."""

    graph: Graph
    number: int
    tensor: Any
    dequantized: bool

    def grid(self, channels: int | None) -> Grid:
        """Return the grid in which it is stored, given the axis of its output channels."""
        stored_dtype = "s4" if self.graph.has_four_bits(self.number) else dtype(self.tensor)
        values = self.graph.value(self.number)
        if stored_dtype not in INTEGERS or values is None:
            return Grid(dtype=stored_dtype)
        parameters, shape = self.tensor["quantization_parameters"], self.tensor["shape"]
        channel_count = None if channels is None or not len(shape) else int(shape[channels])
        return weight_grid(values, parameters["zero_points"], len(parameters["scales"]), stored_dtype, channel_count)


class Nodes:
    """Reads the operators of a file's graphs.

    Args:
        interpreter: source of the tensors, with their current shapes.
        file: source of the operators.
        batch: number of samples in the last run.

    Attributes:
        moves: type and name of each operator, including those that compute nothing.
    """

    def __init__(self, interpreter: Any, file: File, batch: int) -> None:
        self._interpreter, self._file, self._batch = interpreter, file, batch
        self._tensors: dict[int, dict[int, Any]] = {}
        self._counted: set[tuple[int, int]] = set()
        self.moves: list[tuple[str, str]] = []

    def operators(self) -> list[Operator]:
        """Return every operator that computes, in graph order; those of a subgraph follow the operator that runs it."""
        return self._of_graph(self._file.graph())

    def _of_graph(self, graph: Graph) -> list[Operator]:
        operators: list[Operator] = []
        for number, op in enumerate(graph.ops):
            output = self._tensor(graph, op.outputs[0]) if op.outputs else None
            if output is not None:
                self.moves.append((op.kind, f"{op.kind} {output['name']}"))
            layers = () if output is None else tuple(_parts(output))
            name = layers[-1] if layers else f"{op.kind.lower()}_{number}"
            if op.kind in work.TABLES:
                operators += self._table(graph, op, name)
            elif op.kind in work.MULTIPLIES:
                operators.append(self._multiplies(graph, op, name, layers))
            elif op.kind not in PLUMBING | _RUNS_GRAPHS:
                operators.append(self._other(graph, op, name, layers))
            if op.kind != "CALL_ONCE":  # it only initializes variables
                operators += self._inside(graph, op)
        return operators

    def _inside(self, graph: Graph, op: Op) -> list[Operator]:
        """Return the operators of the subgraphs that an operator runs, with the work that they do there."""
        subgraphs = [self._file.graph(number, graph, op) for number in op.runs]
        parts = [self._of_graph(subgraph) for subgraph in subgraphs]
        if op.kind == "IF":  # the branch with the most work counts
            largest = max(range(len(parts)), key=lambda place: sum(o.macs for o in parts[place]))
            return [o if place == largest else replace(o, macs=0) for place, part in enumerate(parts) for o in part]
        times = turns(op, graph, *subgraphs) if op.kind == "WHILE" else 1
        return [
            replace(o, macs=o.macs * (times or 0), uncounted=o.uncounted or (times is None and o.macs > 0))
            for part in parts
            for o in part
        ]

    def _multiplies(self, graph: Graph, op: Op, name: str, layers: tuple[str, ...]) -> Operator:
        kind = work.MULTIPLIES[op.kind]
        operands = [(place, self._stored(graph, op, place)) for place in kind.operands]
        stored = [each for _, each in operands if each is not None]
        stored_places = {place for place, each in operands if each is not None}
        # Either side of a product may be stored.
        places = [place for place in (kind.data, *kind.operands) if place not in stored_places]
        data = self._tensor(graph, op.inputs[places[0]]) if places else None
        arithmetic = "float32" if data is None else dtype(data)
        macs, uncounted = self._work(graph, op, kind)
        if not stored:
            return Operator(name, op.kind, arithmetic, macs=macs, layers=layers, uncounted=uncounted)
        name = (_parts(stored[0].tensor) or [name])[-1]
        grid = stored[0].grid(kind.channels)
        if arithmetic in INTEGERS and data is not None:
            activation = activation_grid(
                arithmetic, int(data["quantization_parameters"]["zero_points"][0]), BITS[arithmetic]
            )
        elif grid.dtype in INTEGERS and not stored[0].dequantized:
            # Float data with integer weights: the kernel quantizes each batch's activations at run time.
            arithmetic, activation = "s8", dynamic_grid("s8")
        else:
            activation = Grid(dtype=arithmetic)
        return Operator(name, op.kind, arithmetic, grid, activation, self._size(stored), macs, layers, uncounted)

    def _table(self, graph: Graph, op: Op, name: str) -> list[Operator]:
        """Return an operator that looks up rows; none if it reads no stored table, because then it only moves data."""
        stored = self._stored(graph, op, work.TABLES[op.kind])
        output = self._tensor(graph, op.outputs[0])
        if stored is None or output is None or len(stored.tensor["shape"]) < 2:
            return []
        return [Operator(name, op.kind, dtype(output), stored.grid(None), weights=self._size([stored]))]

    def _other(self, graph: Graph, op: Op, name: str, layers: tuple[str, ...]) -> Operator:
        """Return an operator that multiplies nothing, or an unknown one as uncounted."""
        first = self._tensor(graph, op.inputs[0]) if op.inputs else None
        arithmetic = "float32" if first is None else dtype(first)
        if op.kind in work.NO_WEIGHTS:
            return Operator(name, op.kind, arithmetic, layers=layers)
        operands = [self._stored(graph, op, place) for place in range(len(op.inputs))]
        stored = [each for each in operands if each is not None and dtype(each.tensor) in INTEGERS | {"float32"}]
        grid = stored[0].grid(None) if stored else None
        activation = grid and Grid(dtype="float32")
        return Operator(name, op.kind, arithmetic, grid, activation, self._size(stored), 0, layers, uncounted=True)

    def _work(self, graph: Graph, op: Op, kind: Kind) -> tuple[int, bool]:
        """Return the work for one sample, and whether it is uncounted."""
        tensors = [self._tensor(graph, number) for number in (*op.inputs, op.outputs[0])]
        *inputs, output = [() if each is None else tuple(map(int, each["shape"])) for each in tensors]
        if kind.macs is None:
            return 0, True
        try:
            return kind.macs(inputs, output) // self._batch, False
        except (LookupError, ZeroDivisionError):
            return 0, True

    def _stored(self, graph: Graph, op: Op, place: int) -> _Stored | None:
        """Return the stored tensor behind an input, possibly behind a DEQUANTIZE; None if it is computed."""
        if place >= len(op.inputs) or op.inputs[place] < 0:
            return None
        producer = graph.maker(op.inputs[place])
        dequantized = producer is not None and producer.kind == "DEQUANTIZE"
        location = graph.stored(producer.inputs[0] if dequantized and producer is not None else op.inputs[place])
        tensor = None if location is None else self._tensor(*location)
        return None if location is None or tensor is None else _Stored(*location, tensor, dequantized)

    def _tensor(self, graph: Graph, number: int) -> Any:
        """Return the interpreter's details of a tensor; None if it does not list the tensor."""
        if graph.number not in self._tensors:
            details = self._interpreter.get_tensor_details(graph.number)
            self._tensors[graph.number] = {tensor["index"]: tensor for tensor in details}
        return self._tensors[graph.number].get(number)

    def _size(self, stored: Sequence[_Stored]) -> int:
        """Return how many weights stored tensors add to those already counted."""
        new = {(each.graph.number, each.number): each for each in stored}
        added = sum(int(np.prod(each.tensor["shape"])) for key, each in new.items() if key not in self._counted)
        self._counted |= new.keys()
        return added


def _parts(tensor: Any) -> list[str]:
    """Return the layer names in a tensor's name, which joins those of all fused layers; plain numbers are dropped."""
    return [part for part in tensor["name"].split(";") if not re.fullmatch(r"\d*", part)]
