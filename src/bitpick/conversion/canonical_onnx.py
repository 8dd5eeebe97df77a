"""ONNX → the clean float reference graph: batch norm and constants folded, dynamic batch, short names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitpick.conversion import onnx_defaults, onnx_file, onnx_indices, onnx_passes, rounding, training_mode
from bitpick.conversion.hop import Hop
from bitpick.conversion.onnx_names import rename
from bitpick.errors import ModelError, OperatorError, system_cause
from bitpick.library_errors import telling_line
from bitpick.models.model import Format
from bitpick.models.onnx_traits import of_model

if TYPE_CHECKING:
    import onnx

MINIMUM_OPSET = 13  # per-channel QuantizeLinear
CURRENT_OPSET = 17

HOP = Hop(
    Format.RAW_ONNX,
    Format.ONNX,
    environment="onnxruntime",
    packages=("onnx", "onnxruntime"),
    convert="bitpick.conversion.canonical_onnx:convert",
    trace=("bitpick.conversion.canonical_onnx:trace_source", "bitpick.conversion.canonical_onnx:trace_target"),
)


def convert(source: str, out: str) -> None:
    """Write the clean form of an ONNX file, and beside it the original name of each tensor (`.names.json`).

    ONNX Runtime's basic optimisations fold batch norm and constants; they do not depend on the hardware.

    Raises:
        ModelError: the file is not a valid ONNX model, or the model is quantized already.
        OperatorError: ONNX Runtime does not know an operator.
    """
    import onnx

    original = onnx_file.load(Path(source))
    name = Path(source).name
    if quantized := of_model(original).quantized:
        raise ModelError(
            f"the model {name} is quantized already: {quantized[0]} and {len(quantized) - 1} more nodes say so",
            expected="the trained float32 model",
            fix="give the float model that it was made from",
        )
    training_mode.refuse(name, training_mode.of_onnx(original), training_mode.EXPORT)
    if not onnx_file.opset_of(original):  # all its operators are from other sets; quantizers expect this one
        original.opset_import.add(domain="", version=CURRENT_OPSET)
    if onnx_file.opset_of(original) < MINIMUM_OPSET:
        original = _with_newer_opset(original, name)
    onnx_passes.drop_stored_inputs(original)
    onnx_defaults.spell_out(original)
    model = _optimized(_with_free_batch(original), name, out)
    onnx_passes.pool_means(model)
    onnx_passes.fix_reshapes(model)
    onnx_passes.flatten_biases(model)
    onnx_passes.name_outputs(model)  # folding may have turned an output into a stored tensor
    onnx_indices.simplify(model)
    onnx_passes.drop_dead(model)
    names = rename(model)
    _clear_metadata(model)
    onnx.checker.check_model(model)
    onnx.save(model, out)
    Path(out).with_suffix(".names.json").write_text(json.dumps(names))


def _optimized(model: onnx.ModelProto, name: str, out: str) -> onnx.ModelProto:
    """Return the model as ONNX Runtime folds it, by way of the file `out`."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = out
    options.log_severity_level = 3
    onnx_file.open_session(model, name, options)
    return onnx_file.load(Path(out))


def _clear_metadata(model: onnx.ModelProto) -> None:
    """Drop what the graph does not need: unused operator sets, stored shapes, and metadata of tools."""
    used = {"", *(node.domain for node in model.graph.node)}
    imports = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:], model.metadata_props[:], model.graph.value_info[:]
    model.opset_import.extend(imports)
    model.producer_name, model.doc_string, model.graph.name, model.graph.doc_string = "bitpick", "", "model", ""
    for node in model.graph.node:
        node.doc_string = ""


def _with_newer_opset(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return the model in a newer opset, which quantizers need."""
    import onnx

    for opset in (CURRENT_OPSET, MINIMUM_OPSET):
        try:
            return onnx.version_converter.convert_version(model, opset)
        except Exception as error:  # noqa: BLE001 - the converter raises any type of error
            failure = error
    reason = telling_line(failure)
    raise OperatorError(
        f"{name} is of opset {onnx_file.opset_of(model)} and cannot be brought to opset {MINIMUM_OPSET}: {reason}",
        fix=f"export the model again, in opset {MINIMUM_OPSET} or newer",
    ) from failure


def _with_free_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a free batch, or as it was if its graph depends on the size that an exporter fixed."""
    import onnx

    free = onnx.ModelProto()
    free.CopyFrom(model)
    size = onnx_passes.free_batch(free)
    if size is None:
        return free
    if any(node.op_type in onnx_passes.BRANCHING for node in model.graph.node):
        return model  # the graph may choose a branch for the whole batch
    inputs = onnx_file.random_inputs(model, size)
    larger = [np.concatenate([each, each[:1]]) for each in inputs]
    try:
        expected = onnx_file.run(model, inputs)
        grown = onnx_file.run(free, larger)
        sides = [onnx_file.run(free, inputs), [each[:size] for each in grown]]
    except Exception as error:  # whatever the model's error, the graph depends on the size
        if system_cause(error):
            raise
        return model
    reference, *others = (tuple(np.asarray(each, np.float32) for each in side) for side in (expected, *sides))
    grows = all(len(each) == size + 1 for each in grown)
    return free if grows and all(rounding.alike(reference, each) for each in others) else model


def trace_source(source: str, target: str, inputs: str) -> dict[str, Any]:
    """Return the raw graph's value of each tensor that the clean graph still has, under the clean graph's names."""
    names: dict[str, str] = json.loads(Path(target).with_suffix(".names.json").read_text())
    clean = {original: name for name, original in names.items()}
    computed = onnx_file.intermediates(onnx_file.load(Path(source)), onnx_file.read_inputs(inputs))
    return {clean[name]: value for name, value in computed.items() if name in clean}


def trace_target(source: str, target: str, inputs: str) -> dict[str, Any]:  # noqa: ARG001 - the signature of a trace
    """Return the clean graph's value of each tensor."""
    return onnx_file.intermediates(onnx_file.load(Path(target)), onnx_file.read_inputs(inputs))
