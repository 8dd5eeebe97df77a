"""What ExecuTorch executes: the operators of a program, and the graphs of the XNNPACK delegates in it."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bitpick.engines.graphs.executed import FLOAT32, Executed, Operator, activation_grid, dynamic_grid, weight_grid
from bitpick.fingerprint import Grid

# They only move numbers, or write them in another format.
_PLUMBING = {
    "XNNStaticReshape", "XNNStaticConstantPad", "XNNStaticSlice", "XNNCopy",
    "XNNConcatenate2", "XNNConcatenate3", "XNNConcatenate4", "XNNConcatenate5",
}  # fmt: skip
_CONVERTS = re.compile(r"quantize_per_\w+$|^XNNConvert$")
_TRANSPOSES = re.compile(r"(permute|transpose)_copy$|^XNNStaticTranspose$")
_MOVES = re.compile(
    r"(_copy|^XNNStaticTranspose|^XNNConvert|quantize_per_\w+|::clone|::_clone_dim_order|::view|::cat)$"
)
# Where in the arguments of an operator its weight is.
_WEIGHT_AT = {"aten::convolution": 1, "aten::linear": 1, "aten::mm": 1, "aten::addmm": 2}
_INTEGER = {"xnn_datatype_qint8", "xnn_datatype_qcint8"}
_DYNAMIC = {"xnn_datatype_qdint8", "xnn_datatype_qpint8"}


def executed(program: bytes) -> Executed:
    """Read off what a `.pte` program executes."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    file = deserialize_pte_binary(program)
    plan = file.program.execution_plan[0]
    operators: list[Operator] = []
    for instruction in plan.chains[0].instructions:
        call = instruction.instr_args
        if hasattr(call, "delegate_index"):
            place = plan.delegates[call.delegate_index].processed.index
            operators += _delegate(bytes(file.program.backend_delegate_data[place].data), file)
        elif hasattr(call, "op_index"):
            operators.append(_portable(plan, call, len(operators)))
    moves = [(operator.kind, f"{operator.kind} {operator.name}") for operator in operators]
    return Executed(
        tuple(operator for operator in operators if not _MOVES.search(operator.kind)),
        conversions=tuple(text for kind, text in moves if _CONVERTS.search(kind)),
        transposes=tuple(text for kind, text in moves if _TRANSPOSES.search(kind)),
    )


def _portable(plan: Any, call: Any, number: int) -> Operator:
    """An operator outside the delegate: a portable kernel runs it, in float."""
    kind = plan.operators[call.op_index].name
    name = f"{kind.split('::')[-1]}_{number}"
    if kind not in _WEIGHT_AT:
        return Operator(name, kind, "float32")
    weight, output = (plan.values[call.args[place]].val for place in (_WEIGHT_AT[kind], -1))
    if not getattr(weight, "data_buffer_idx", 0):  # computed, not stored
        return Operator(name, kind, "float32")
    size = int(np.prod(weight.sizes))
    positions = int(np.prod(output.sizes[2:] if "conv" in kind else output.sizes[:-1]))
    return Operator(name, kind, "float32", FLOAT32, FLOAT32, size, size * positions)


def _delegate(blob: bytes, file: Any) -> list[Operator]:
    graph = _graph(blob)
    values = {}
    for value in graph["xvalues"]:
        fields = value["xvalue_union"]
        tensor = fields.get("tensor_value", fields)
        values[tensor["id_out"]] = (tensor, fields.get("quant_params", {}))
    found = []
    for number, node in enumerate(graph["xnodes"]):
        kind, fields = node["xnode_union_type"], node["xnode_union"]
        if kind in _PLUMBING:
            continue
        if _MOVES.search(kind):
            found.append(Operator(f"{kind.removeprefix('XNN')}_{number}", kind, "float32"))
            continue
        data, scheme = values[fields.get("input_id", fields.get("input1_id"))]
        name = f"{kind.removeprefix('XNN')}_{number}"  # the delegate's graph names nothing
        dtype = "s8" if data["datatype"] in _INTEGER | _DYNAMIC else "float32"
        if "filter_id" not in fields:
            found.append(Operator(name, kind, dtype))
            continue
        weight, weight_scheme = values[fields["filter_id"]]
        size = int(np.prod(weight["dims"]))
        if weight["datatype"] in _INTEGER:
            zeros = weight_scheme.get("zero_point", 0)
            scales = weight_scheme.get("num_scales", 1)
            grid = weight_grid(_stored(graph, weight, file), zeros, scales, "s8")
        else:
            grid = Grid(dtype="float16" if weight["datatype"] == "xnn_datatype_fp16" else "float32")
        if data["datatype"] in _DYNAMIC:
            activation = dynamic_grid("s8")
        elif dtype == "s8":
            activation = activation_grid("s8", scheme["zero_point"])
        else:
            activation = Grid(dtype="float32")
        side = data if "ConvTranspose" in kind else values[fields["output_id"]][0]
        positions = int(np.prod(side["dims"][:-1]))
        found.append(Operator(name, kind, dtype, grid, activation, size, size * positions))
    return found


def _graph(blob: bytes) -> dict[str, Any]:
    """The delegate's graph as its own schema has it."""
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
    # flatc writes numbers that JSON does not have.
    graph: dict[str, Any] = json.loads(re.sub(r"(?<=[ :\[,])(-?)inf\b", r"\1Infinity", text))
    return graph


def _stored(graph: dict[str, Any], tensor: dict[str, Any], file: Any) -> Any:
    """The integers of a constant, which lie under a key beside the delegate's graph."""
    key = graph["constant_data"][tensor["constant_buffer_idx"]]["named_key"]
    entry = file.named_data.pte_data[key]
    return np.frombuffer(bytes(file.named_data.buffers[entry.buffer_index]), np.int8)[: int(np.prod(tensor["dims"]))]
