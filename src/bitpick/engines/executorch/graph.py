"""The graph that ExecuTorch executes: a program's operators, and those inside its XNNPACK delegates."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.engines import aten_work, counting
from bitpick.engines.executed import FLOAT32, Executed, Operator, activation_grid, dynamic_grid, weight_grid
from bitpick.schema.fingerprint import Grid

# Operators that only move data or convert its format.
_PLUMBING = {
    "XNNStaticReshape", "XNNStaticConstantPad", "XNNStaticSlice", "XNNCopy",
    "XNNConcatenate2", "XNNConcatenate3", "XNNConcatenate4", "XNNConcatenate5",
}  # fmt: skip
_CONVERTS = re.compile(r"quantize_per_\w+$|^XNNConvert$")
_TRANSPOSES = re.compile(r"(permute|transpose)_copy$|^XNNStaticTranspose$")
_MOVES = re.compile(
    r"(_copy|^XNNStaticTranspose|^XNNConvert|quantize_per_\w+|::clone|::_clone_dim_order|::view|::cat)$"
)
_EXTERNAL_INPUT, _EXTERNAL_OUTPUT = 1, 2  # flags of values that enter and leave the delegate
_FOUR_BITS = "xnn_datatype_qcint4"
_INTEGER = {"xnn_datatype_qint8", "xnn_datatype_qcint8", _FOUR_BITS}
_DYNAMIC = {"xnn_datatype_qdint8", "xnn_datatype_qpint8"}


def executed(program: bytes) -> Executed:
    """Return what a `.pte` program executes."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    file = deserialize_pte_binary(program)
    plan = file.program.execution_plan[0]
    operators: list[Operator] = []
    counted: set[Any] = set()
    origins: dict[int, int] = {}  # maps each reordered copy to the stored tensor it was made from
    for instruction in plan.chains[0].instructions:
        call = instruction.instr_args
        if hasattr(call, "delegate_index"):
            place = plan.delegates[call.delegate_index].processed.index
            graph = _graph(bytes(file.program.backend_delegate_data[place].data))
            operators += _delegate(graph, file, counted)
            for copy, source in _copies(graph):
                origins[call.args[copy]] = origins.get(call.args[source], call.args[source])
        elif hasattr(call, "op_index"):
            operators.append(_portable(plan, call, len(operators), counted, origins))
    moves = [(operator.kind, f"{operator.kind} {operator.name}") for operator in operators]
    return Executed(
        tuple(operator for operator in operators if not _MOVES.search(operator.kind)),
        conversions=tuple(text for kind, text in moves if _CONVERTS.search(kind)),
        transposes=tuple(text for kind, text in moves if _TRANSPOSES.search(kind)),
    )


def _portable(plan: Any, call: Any, number: int, counted: set[Any], origins: dict[int, int]) -> Operator:
    """Return an operator outside the delegate, which a portable kernel runs in float.

    Args:
        plan: the program's execution plan.
        call: the call of the operator.
        number: its position in the program.
        counted: the weights of earlier operators; its own are added.
        origins: maps copies of stored tensors to those tensors; if it makes a copy, that is added.
    """
    kind = plan.operators[call.op_index].name
    if _MOVES.search(kind):
        origins[call.args[-1]] = origins.get(call.args[0], call.args[0])
    name, called = f"{kind.split('::')[-1]}_{number}", aten_work.name_of(kind)
    values = [plan.values[place].val for place in call.args]
    table = called in aten_work.TABLES or "embedding" in called
    if called not in aten_work.OPERANDS and not table:
        return Operator(name, kind, "float32", uncounted=called in aten_work.UNKNOWN)
    places = (0,) if table else aten_work.OPERANDS[called]
    sources = {origins.get(call.args[place], call.args[place]) for place in places}
    stored = {source for source in sources if getattr(plan.values[source].val, "data_buffer_idx", 0)}
    macs = 0
    if not table:
        first = 1 if "add" in called else 0
        shapes = [tuple(value.sizes) for value in values[first:] if hasattr(value, "sizes")]
        transposed = called == "convolution" and bool(values[6].bool_val)
        macs = aten_work.macs(called, shapes, tuple(values[-1].sizes), transposed)
    size = sum(int(np.prod(plan.values[source].val.sizes)) for source in stored - counted)
    counted.update(stored)
    if not stored:
        return Operator(name, kind, "float32", macs=macs)
    return Operator(name, kind, "float32", FLOAT32, None if table else FLOAT32, size, macs)


def _copies(graph: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Yield argument positions (output, input) of each delegate output that is only a reordered input."""
    external = {}
    for value in graph["xvalues"]:
        fields = value["xvalue_union"]
        tensor = fields.get("tensor_value", fields)
        external[tensor["id_out"]] = tensor["external_id"], tensor["flags"]
    sources = {
        node["xnode_union"]["output_id"]: node["xnode_union"]["input_id"]
        for node in graph["xnodes"]
        if node["xnode_union_type"] in ("XNNStaticTranspose", "XNNStaticReshape", "XNNCopy")
    }
    for output in sources:
        source = output
        while source in sources:
            source = sources[source]
        if external[output][1] & _EXTERNAL_OUTPUT and external[source][1] & _EXTERNAL_INPUT:
            yield external[output][0], external[source][0]


def _delegate(graph: dict[str, Any], file: Any, counted: set[Any]) -> list[Operator]:
    values = {}
    for value in graph["xvalues"]:
        fields = value["xvalue_union"]
        tensor = fields.get("tensor_value", fields)
        values[tensor["id_out"]] = (tensor, fields.get("quant_params", {}))
    operators = []
    for number, node in enumerate(graph["xnodes"]):
        kind, fields = node["xnode_union_type"], node["xnode_union"]
        if kind in _PLUMBING:
            continue
        if _MOVES.search(kind):
            operators.append(Operator(f"{kind.removeprefix('XNN')}_{number}", kind, "float32"))
            continue
        data, scheme = values[next(fields[key] for key in ("input_id", "input1_id", "query_id") if key in fields)]
        name = f"{kind.removeprefix('XNN')}_{number}"  # the delegate's graph has no names
        dtype = "s8" if data["datatype"] in _INTEGER | _DYNAMIC else "float32"
        output = values[fields["output_id"]][0]["dims"] if "output_id" in fields else []
        if "filter_id" not in fields:
            operators.append(_product(name, kind, dtype, fields, values, output, counted))
            continue
        weight, weight_scheme = values[fields["filter_id"]]
        size = int(np.prod(weight["dims"]))
        if weight["datatype"] in _INTEGER:
            zeros = weight_scheme.get("zero_point", 0)
            scales = weight_scheme.get("num_scales", 1)
            channels = weight["dims"][-1 if "Depthwise" in kind else 0]
            stored_dtype = "s4" if weight["datatype"] == _FOUR_BITS else "s8"
            grid = weight_grid(_stored(graph, weight, file), zeros, scales, stored_dtype, channels)
        else:
            grid = Grid(dtype="float16" if weight["datatype"] == "xnn_datatype_fp16" else "float32")
        if data["datatype"] in _DYNAMIC:
            activation = dynamic_grid("s8")
        elif dtype == "s8":
            activation = activation_grid("s8", scheme["zero_point"])
        else:
            activation = Grid(dtype="float32")
        key = graph["constant_data"][weight["constant_buffer_idx"]]["named_key"]
        new_weights = 0 if key in counted else size
        counted.add(key)
        positions = int(np.prod((data["dims"] if "ConvTranspose" in kind else output)[:-1]))
        operators.append(Operator(name, kind, dtype, grid, activation, new_weights, size * positions))
    return operators


def _product(
    name: str, kind: str, dtype: str, fields: dict[str, Any], values: dict[int, Any], output: Any, counted: set[Any]
) -> Operator:
    """Return a delegate's operator without a filter: a matrix product, attention, or one without MACs."""
    if kind == "XNNBatchMatrixMultiply":
        operands = [values[fields[key]][0] for key in ("input1_id", "input2_id")]
        macs = counting.product(output, operands[0]["dims"][-1])
        stored = [each for each in operands if each.get("constant_buffer_idx")]
        keys = {("product", each["constant_buffer_idx"]): int(np.prod(each["dims"])) for each in stored}
        size = sum(count for key, count in keys.items() if key not in counted)
        counted.update(keys)
        grid = Grid(dtype=dtype) if stored else None
        return Operator(name, kind, dtype, grid, grid, size, macs)
    if kind == "XNNScaledDotProductAttention":
        queries, keys_dims = (values[fields[key]][0]["dims"] for key in ("query_id", "key_id"))
        return Operator(name, kind, dtype, macs=counting.attention(queries, output, keys_dims[-2]))
    return Operator(name, kind, dtype)


def _graph(blob: bytes) -> dict[str, Any]:
    """Return the delegate's graph, decoded by its own schema."""
    from executorch.backends.xnnpack import serialization
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = XNNHeader.from_bytes(blob[: XNNHeader.EXPECTED_LENGTH])
    schema = Path(next(iter(serialization.__path__))) / "schema.fbs"
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "graph.bin"
        binary.write_bytes(blob[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size])
        _flatc_decompile(folder, str(schema), str(binary))
        text = binary.with_suffix(".json").read_text()
    # flatc writes infinities, which JSON does not support.
    graph: dict[str, Any] = json.loads(re.sub(r"(?<=[ :\[,])(-?)inf\b", r"\1Infinity", text))
    return graph


def _stored(graph: dict[str, Any], tensor: dict[str, Any], file: Any) -> Any:
    """Return the integers of a constant, which the program stores outside the delegate's graph, under a key."""
    key = graph["constant_data"][tensor["constant_buffer_idx"]]["named_key"]
    entry = file.named_data.pte_data[key]
    data = bytes(file.named_data.buffers[entry.buffer_index])
    if tensor["datatype"] != _FOUR_BITS:
        return np.frombuffer(data, np.int8)[: int(np.prod(tensor["dims"]))]
    # Two integers in a byte, the first one in the lower half, each plus 8; a row begins with a byte of its own.
    outputs, inputs = tensor["dims"]
    rows = np.frombuffer(data, np.uint8)[: outputs * -(-inputs // 2)].reshape(outputs, -1)
    halves = np.stack([rows & 15, rows >> 4], axis=2).reshape(outputs, -1)[:, :inputs]
    return halves.astype(np.int8) - np.int8(8)
