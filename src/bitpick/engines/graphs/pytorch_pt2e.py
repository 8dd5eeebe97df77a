"""What a compiled package executes: the calls in its generated code, with the number grids of what was compiled."""

from __future__ import annotations

import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

from bitpick.engines.graphs.executed import Executed, Operator, activation_grid, weight_grid
from bitpick.fingerprint import Grid

METADATA_KEY = "bitpick.layers"
_WEIGHTED = re.compile(r"aten\.(conv\w*|linear)\.default")
# Calls of kernels with weights: whether for integers, and the number of the packed weight.
_CALL = re.compile(r"\(aoti_torch_\w*?_(q?)(?:conv|linear|mkldnn)\w*\([^;]*?_frozen_param(\d+)\b")
_KERNEL_CALL = re.compile(r"^\s*(cpp_fused\w*)\(", re.MULTILINE)
# What a generated loop does beside moving numbers, and writing them in another format.
_MOVES = re.compile(
    r"cpp_fused|(de)?quantize_per_tensor|(de)?quantize_per_channel|permute|constant_pad_nd|view|reshape|clone|cat|_|\d+"
)


def _of_one_sample(size: Any) -> int:
    """A size, where it depends on the batch that of one sample. Read as a number it would fix the batch for good."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, 1)))


def layers(program: Any) -> str:
    """The layers of an exported program as JSON, which a package carries as metadata; `executed` reads it."""
    names = {**program.graph_signature.inputs_to_parameters, **program.graph_signature.inputs_to_buffers}
    values = {**program.state_dict, **program.constants}
    found = []
    for node in program.graph.nodes:
        if node.op != "call_function" or not _WEIGHTED.fullmatch(str(node.target)):
            continue
        data, weight = node.args[:2]
        shape = node.meta["val"].shape
        # Everything but the features, of one sample; the batch is not always the first.
        positions = math.prod(map(_of_one_sample, (shape[2:] if "conv" in str(node.target) else shape[:-1])))
        grid = Grid(dtype="float32")
        size = math.prod(weight.meta["val"].shape)
        if "dequantize_per" in str(weight.target):
            stored, scale, zeros = (names.get(getattr(a, "name", ""), a) for a in weight.args[:3])
            zero_points = values[zeros].numpy() if isinstance(zeros, str) else zeros
            scales = values[scale].numel() if isinstance(scale, str) else 1
            grid = weight_grid(values[stored].numpy(), zero_points, scales, "s8")
        activation = Grid(dtype="float32")
        if "dequantize_per_tensor" in str(data.target):
            _, _, zero, low, high, dtype = data.args[:6]
            bits = round(math.log2(high - low + 1))
            activation = activation_grid("u8" if "uint8" in str(dtype) else "s8", int(zero), bits)
        modules = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
        found.append(
            {
                "name": modules[-1] if modules else node.name,
                "kind": str(node.target).removesuffix(".default"),
                "weights": size,
                "macs": size * positions,
                "weight": grid.model_dump(),
                "activation": activation.model_dump(),
            }
        )
    return json.dumps(found)


def eager(program: Any) -> Executed:
    """What a program executes that is not compiled: its operators, all in float."""
    grid = Grid(dtype="float32")
    weighted = [
        Operator(each["name"], each["kind"], "float32", grid, grid, each["weights"], each["macs"])
        for each in json.loads(layers(program))
    ]
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    others = [node for node in calls if not _WEIGHTED.fullmatch(str(node.target))]
    return Executed((*weighted, *(Operator(n.name, str(n.target).removesuffix(".default"), "float32") for n in others)))


def _integer(layers: list[dict[str, Any]], code: str) -> set[int]:
    """The places of the layers that integer kernels compute.

    Packed weights are numbered in the order of the layers, the quantized ones always, the others where packing pays.
    """
    quantized = [place for place, layer in enumerate(layers) if layer["weight"]["dtype"] == "s8"]
    calls = {int(number): q == "q" for q, number in _CALL.findall(code)}
    if sum(calls.values()) == len(quantized):
        return set(quantized)
    packed = quantized if len(calls) == len(quantized) else range(len(layers))
    if len(calls) != len(packed):  # how many is known, which is not
        return set(quantized[: sum(calls.values())])
    return {place for place, number in zip(packed, sorted(calls), strict=True) if calls[number]}


def executed(package: Path) -> Executed:
    """Read off what a package executes: a layer is integer where an integer kernel is called with its weight."""
    with zipfile.ZipFile(package) as archive:
        code = next(n for n in archive.namelist() if n.endswith(".wrapper.cpp"))
        text = archive.read(code).decode()
        metadata = json.loads(archive.read(code.replace(".cpp", "_metadata.json")))
    layers = json.loads(metadata[METADATA_KEY])
    integer = _integer(layers, text)
    operators = []
    for place, layer in enumerate(layers):
        weight, activation = Grid(**layer["weight"]), Grid(**layer["activation"])
        runs_integer = place in integer
        operators.append(
            Operator(
                layer["name"],
                layer["kind"],
                activation.dtype if runs_integer else "float32",
                weight,
                activation if runs_integer else Grid(dtype="float32"),
                layer["weights"],
                layer["macs"],
            )
        )
    # The name of a generated loop says what it does.
    loops = [kernel for kernel in dict.fromkeys(_KERNEL_CALL.findall(text)) if _MOVES.sub("", kernel)]
    operators += [Operator(kernel, re.sub(r"^cpp_fused_+|_\d+$", "", kernel), "float32") for kernel in loops]
    return Executed(tuple(operators))
