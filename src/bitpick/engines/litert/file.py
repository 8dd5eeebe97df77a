"""The graphs in a LiteRT file, read by the format's own schema: the main graph and its subgraphs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = {"INT8": np.int8, "UINT8": np.uint8, "INT32": np.int32, "INT64": np.int64, "FLOAT32": np.float32}


@dataclass(frozen=True)
class Op:
    """An operator: its kind, its tensors as indices (-1 for none), and the indices of the subgraphs that it runs."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    runs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A graph of a file.

    Attributes:
        number: its index in the file.
        ops: its operators, in order.
        inputs: indices of its input tensors.
        outputs: indices of its output tensors.
        outer: the graph that runs it; None for the main graph.
        runner: the operator in the outer graph that runs it.
    """

    number: int
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    outer: Graph | None = None
    runner: Op | None = None
    _values: dict[int, Any] = field(default_factory=dict, repr=False)

    def value(self, tensor: int) -> NDArray[Any] | None:
        """Return a stored tensor as a flat array; None if it is computed or has another dtype."""
        data, dtype = self._values.get(tensor, (None, ""))
        if data is not None and dtype == "INT4":  # two in a byte, the first one in the lower half
            halves = np.frombuffer(bytes(data), np.int8)
            return np.stack([np.left_shift(halves, 4) >> 4, halves >> 4], axis=1).reshape(-1)
        return None if data is None or dtype not in _DTYPES else np.frombuffer(bytes(data), _DTYPES[dtype])

    def has_four_bits(self, tensor: int) -> bool:
        """Return whether a stored tensor has four-bit integers, which an interpreter hands out as bytes."""
        return str(self._values.get(tensor, (None, ""))[1]) == "INT4"

    def stored(self, tensor: int) -> tuple[Graph, int] | None:
        """Return the graph and index where a tensor is stored, here or in an outer graph; None if it is computed."""
        if tensor in self._values:
            return self, tensor
        if self.outer is None or self.runner is None or tensor not in self.inputs:
            return None
        place = self.inputs.index(tensor)
        if self.runner.kind == "WHILE" and self.outputs[place : place + 1] != (
            tensor,
        ):  # it changes between iterations
            return None
        return self.outer.stored(self.runner.inputs[place + (self.runner.kind == "IF")])

    def maker(self, tensor: int) -> Op | None:
        """Return the operator that computes a tensor; None if there is none."""
        return next((op for op in self.ops if tensor in op.outputs), None)


class File:
    """The graphs of a file."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._kinds = _names(schema.BuiltinOperator)
        self._dtypes = _names(schema.TensorType)
        self._model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)

    def graph(self, number: int = 0, outer: Graph | None = None, runner: Op | None = None) -> Graph:
        """Return a graph by its index; index 0 is the main graph."""
        subgraph = self._model.subgraphs[number]
        values = {}
        for index, tensor in enumerate(subgraph.tensors):
            data = self._model.buffers[tensor.buffer].data
            if data is not None and len(data):
                values[index] = data, self._dtypes[tensor.type]
        ops = tuple(map(self._op, subgraph.operators or ()))
        return Graph(number, ops, _numbers(subgraph.inputs), _numbers(subgraph.outputs), outer, runner, values)

    def names_inside(self) -> list[str]:
        """Return the names of the tensors of every graph except the main one."""
        return [tensor.name.decode() for graph in self._model.subgraphs[1:] for tensor in graph.tensors if tensor.name]

    def _op(self, op: Any) -> Op:
        code = self._model.operatorCodes[op.opcodeIndex]
        kind = self._kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if kind == "CUSTOM":
            kind = (code.customCode or b"CUSTOM").decode()
        options = vars(op.builtinOptions) if op.builtinOptions else {}
        names = ("condSubgraphIndex", "bodySubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex", "subgraph")
        runs = tuple(int(options[name]) for name in names if name in options)
        return Op(kind, _numbers(op.inputs), _numbers(op.outputs), runs)


def turns(loop: Op, graph: Graph, condition: Graph, body: Graph) -> int | None:
    """Return how often the body of a WHILE runs; None if the graphs do not determine it.

    They do if the loop runs while one or several counters are less than stored limits, and each counter starts at a
    stored number and is incremented by one in the body.
    """
    counts = []
    for left, limit in _less(condition, condition.outputs[0]):
        place = condition.inputs.index(left) if left in condition.inputs else None
        if place is None or limit is None:
            return None
        start, step = graph.value(loop.inputs[place]), body.maker(body.outputs[place])
        if start is None or step is None or step.kind != "ADD" or step.inputs[0] != body.inputs[place]:
            return None
        added = body.value(step.inputs[1])
        if added is None or added.tolist() != [1]:
            return None
        counts.append(limit - int(start[0]))
    return max(0, min(counts)) if counts else None


def _less(condition: Graph, tensor: int) -> Iterator[tuple[int, int | None]]:
    """Yield tensor and limit of each LESS that a condition requires; -1 and None for any other operator."""
    op = condition.maker(tensor)
    if op is not None and op.kind == "LOGICAL_AND":
        for input_ in op.inputs:
            yield from _less(condition, input_)
        return
    limit = condition.value(op.inputs[1]) if op is not None and op.kind == "LESS" else None
    yield (-1, None) if op is None or limit is None else (op.inputs[0], int(limit[0]))


def _names(values: type) -> dict[int, str]:
    return {number: name for name, number in vars(values).items() if isinstance(number, int)}


def _numbers(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(map(int, values))
