"""What a compiled package executes: the calls in its generated code, with the number grids of the source program."""

from __future__ import annotations

import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

from bitpick.engines import aten_work, counting
from bitpick.engines.executed import Executed, Operator, activation_grid, weight_grid
from bitpick.schema.fingerprint import Grid

METADATA_KEY = "bitpick.layers"
_EXTENSIONS = {"AVX2": "avx2", "AVX512": "avx512f", "AVX512_VNNI": "avx512_vnni"}
_WEIGHTED = re.compile(r"aten\.(conv\w*|linear)\.default")
# Calls of kernels with weights: `q` for integer kernels, and the number of the packed weight.
_CALL = re.compile(r"\(aoti_torch_\w*?_(q?)(?:conv|linear|mkldnn)\w*\([^;]*?_frozen_param(\d+)\b")
_KERNEL_CALL = re.compile(r"^\s*(cpp_fused\w*)\(", re.MULTILINE)
# Parts of a generated loop's name that stand for moving data or converting its format.
_MOVES = re.compile(
    r"cpp_fused|(de)?quantize_per_tensor|(de)?quantize_per_channel|permute|constant_pad_nd|view|reshape|clone|cat|_|\d+"
)


def _size_of_one(size: Any) -> int:
    """Return a size for a batch of one. Converting a symbolic size to int would fix the batch size permanently."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, 1)))


def layers(program: Any) -> str:
    """Return the layers of an exported program as JSON; a package carries it as metadata that `executed` reads."""
    signature = program.graph_signature
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    values = {**program.state_dict, **program.constants}
    entries, counted = [], set[str]()
    for node in program.graph.nodes:
        if node.op != "call_function" or not _multiplies(node):
            continue
        kind = str(node.target).removesuffix(".default")
        operator_name = aten_work.name_of(kind)
        operands = [each for each in _operands(node, operator_name) if hasattr(each, "meta")]
        stored = {place.name: each for each in operands if (place := _stored(each, names)) is not None}
        size = sum(math.prod(each.meta["val"].shape) for name, each in stored.items() if name not in counted)
        counted.update(stored)
        weight = next(iter(stored.values()), None)
        data = node.args[0] if weight is not node.args[0] or len(node.args) < 2 else node.args[1]
        modules = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
        entries.append(
            {
                "name": (modules[-1] if modules else "") or node.name,
                "kind": kind,
                "weights": size,
                "macs": _work(node, operator_name, operands),
                "weight": None if weight is None else _weight_grid(weight, names, values, operator_name).model_dump(),
                "activation": None if operator_name in aten_work.TABLES else _activation(data).model_dump(),
                "packed": bool(_WEIGHTED.fullmatch(str(node.target))),
                "uncounted": operator_name in aten_work.UNKNOWN,
            }
        )
    return json.dumps(entries)


def _multiplies(node: Any) -> bool:
    """Return whether a node multiplies and sums, or looks up rows."""
    name = aten_work.name_of(str(node.target))
    operators = aten_work.OPERANDS.keys() | aten_work.RECURRENT.keys() | aten_work.TABLES.keys() | aten_work.UNKNOWN
    return str(node.target).startswith("aten") and name in operators | {"einsum", "scaled_dot_product_attention"}


def _operands(node: Any, name: str) -> list[Any]:
    """Return the operands that a node multiplies, without biases; the likeliest weight comes first."""
    if name in aten_work.RECURRENT:
        return [each for each in node.args[aten_work.RECURRENT[name]] if len(each.meta["val"].shape) > 1]
    if name == "einsum":
        return list(node.args[1])
    if name in aten_work.UNKNOWN:
        return list(node.args)
    places = (aten_work.TABLES[name],) if name in aten_work.TABLES else aten_work.OPERANDS.get(name, ())
    return [node.args[place] for place in places]


def _stored(node: Any, names: dict[str, str]) -> Any:
    """Return the graph input that holds a stored operand, quantized or not; None if the operand is computed."""
    while node.op == "call_function" and re.search(r"dequantize_per|aten\.(t|transpose|permute)\.", str(node.target)):
        node = node.args[0]
    return node if node.name in names else None


def _work(node: Any, name: str, operands: list[Any]) -> int:
    """Return the multiply-accumulates for one sample."""

    def shape(each: Any) -> tuple[int, ...]:
        return tuple(map(_size_of_one, each.meta["val"].shape))

    if name in aten_work.TABLES or name in aten_work.UNKNOWN:
        return 0
    if name in aten_work.RECURRENT:
        output = tuple(map(_size_of_one, node.meta["val"][0].shape))
        return counting.recurrent(sum(math.prod(shape(each)) for each in operands), output)
    output = shape(node)
    if name == "einsum":
        return counting.einsum(node.args[0], [shape(each) for each in operands])
    first = 1 if "add" in name else 0
    transposed = "convolution" in name and bool(node.args[6])
    return aten_work.macs(
        name, [shape(each) for each in node.args[first:] if hasattr(each, "meta")], output, transposed
    )


def _weight_grid(weight: Any, names: dict[str, str], values: dict[str, Any], name: str) -> Grid:
    if "dequantize_per" not in str(weight.target):
        return Grid(dtype="float32")
    stored, scale, zeros = (names.get(getattr(a, "name", ""), a) for a in weight.args[:3])
    zero_points = values[zeros].numpy() if isinstance(zeros, str) else zeros
    scales = values[scale].numel() if isinstance(scale, str) else 1
    integers = values[stored].numpy()
    return weight_grid(integers, zero_points, scales, "s8", integers.shape["transpose" in name])


def _activation(data: Any) -> Grid:
    if "dequantize_per_tensor" not in str(getattr(data, "target", "")):
        return Grid(dtype="float32")
    _, _, zero, low, high, dtype = data.args[:6]
    bits = round(math.log2(high - low + 1))
    return activation_grid("u8" if "uint8" in str(dtype) else "s8", int(zero), bits)


def eager(program: Any) -> Executed:
    """Return what an uncompiled program executes: its operators, all in float."""
    weighted = [_operator(each, runs_integer=False) for each in json.loads(layers(program))]
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    others = [node for node in calls if not _multiplies(node)]
    return Executed((*weighted, *(Operator(n.name, str(n.target).removesuffix(".default"), "float32") for n in others)))


def _operator(layer: dict[str, Any], runs_integer: bool) -> Operator:
    """Return a layer as the package executes it."""
    weight = None if layer["weight"] is None else Grid(**layer["weight"])
    activation = None if layer["activation"] is None or weight is None else Grid(**layer["activation"])
    dtype = activation.dtype if runs_integer and activation is not None else "float32"
    return Operator(
        layer["name"],
        layer["kind"],
        dtype,
        weight,
        activation if runs_integer or activation is None else Grid(dtype="float32"),
        layer["weights"],
        layer["macs"],
        uncounted=layer.get("uncounted", False),
    )


def _integer(layers: list[dict[str, Any]], code: str) -> set[int]:
    """Return the indices of the layers that integer kernels compute.

    Packed weights are numbered in layer order. Quantized weights are always packed, others only if packing pays off.
    """
    quantized = [place for place, layer in enumerate(layers) if layer["weight"]["dtype"] == "s8"]
    calls = {int(number): q == "q" for q, number in _CALL.findall(code)}
    if sum(calls.values()) == len(quantized):
        return set(quantized)
    packed = quantized if len(calls) == len(quantized) else range(len(layers))
    if len(calls) != len(packed):  # the number of integer layers is known, but not which they are
        return set(quantized[: sum(calls.values())])
    return {place for place, number in zip(packed, sorted(calls), strict=True) if calls[number]}


def compiled_for(package: Path) -> set[str]:
    """Return the x86 extensions that a package was compiled for, as archspec names them, of those that it records."""
    with zipfile.ZipFile(package) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".wrapper_metadata.json"))
        recorded = json.loads(archive.read(name)).get("AOTI_CPU_ISA", "").split()
    return {_EXTENSIONS[each] for each in recorded if each in _EXTENSIONS}


def executed(package: Path) -> Executed:
    """Return what a package executes: a layer is integer if an integer kernel is called with its weight."""
    with zipfile.ZipFile(package) as archive:
        code = next(n for n in archive.namelist() if n.endswith(".wrapper.cpp"))
        text = archive.read(code).decode()
        metadata = json.loads(archive.read(code.replace(".cpp", "_metadata.json")))
    layers = json.loads(metadata[METADATA_KEY])
    # Only convolutions and linear layers have integer kernels.
    packed = [each for each in layers if each.get("packed", True) and each["weight"] is not None]
    integer = [packed[place] for place in _integer(packed, text)]
    operators = [_operator(each, any(each is other for other in integer)) for each in layers]
    # A generated loop is named after the operators in it.
    loops = [kernel for kernel in dict.fromkeys(_KERNEL_CALL.findall(text)) if _MOVES.sub("", kernel)]
    operators += [Operator(kernel, re.sub(r"^cpp_fused_+|_\d+$", "", kernel), "float32") for kernel in loops]
    return Executed(tuple(operators))
