"""A model or a shipped build, opened by its own runtime and run on one sample at a time."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

Arrays = list[NDArray[Any]]
Shape = tuple[int | None, ...] | None


@dataclass(frozen=True)
class Opened:
    """A model that can be run.

    Attributes:
        run: from an array for each input to one for each output.
        shapes: of its inputs, with every axis; None where the runtime does not tell.
        dtypes: NumPy's, of its inputs; empty where the runtime does not tell.
    """

    run: Callable[[Arrays], Arrays]
    shapes: list[Shape]
    dtypes: tuple[Any, ...] = ()


def alone(model: Opened, inputs: Sequence[NDArray[Any]], axes: Sequence[int | None] = ()) -> Arrays:
    """Run samples one at a time.

    Args:
        model: the model.
        inputs: samples, each of shape (n, …), without the axis that is the batch in the model.
        axes: which axis of each input is the batch in the user's model; 0 where nothing is said, None for no batch.

    Returns:
        What it gives for each sample, each of shape (n, …), float32. Where a file takes several samples at once, it
        gets the same one as often as it wants, and what it gives for the first counts.
    """
    found: list[Arrays] = []
    for number in range(len(inputs[0])):
        given, repeats = fed(model, [each[number] for each in inputs], axes)
        found.append([_first(each, repeats) for each in model.run(given)])
    return [np.stack(each).astype(np.float32) for each in zip(*found, strict=True)]


def fed(model: Opened, sample: Arrays, axes: Sequence[int | None] = ()) -> tuple[Arrays, int]:
    """One sample as a model takes it, see `alone`, and how many times it takes it at once."""
    repeats, given = 1, []
    for place, (array, axis) in enumerate(zip(sample, tuple(axes) or (0,) * len(sample), strict=True)):
        each, times = _fed(array, axis, model.shapes[place] if model.shapes else None)
        repeats = max(repeats, times)
        untold = np.float32 if each.dtype == np.float16 else each.dtype  # half precision is read as float32
        given.append(each.astype(model.dtypes[place] if model.dtypes else untold))
    return given, repeats


def _fed(sample: NDArray[Any], axis: int | None, shape: Shape) -> tuple[NDArray[Any], int]:
    """One sample as an input takes it, and how many times it takes it at once."""
    # A file that does not tell its shapes is TorchScript or compiled: a conversion made it, with the batch in front.
    rank = sample.ndim + 1 if shape is None else len(shape)
    if rank == sample.ndim:
        return np.asarray(sample), 1
    place = _batch(sample.shape, axis or 0, shape)
    times = (shape[place] if shape is not None else None) or 1
    return np.repeat(np.expand_dims(sample, place), times, axis=place), times


def _batch(sample: tuple[int, ...], axis: int, shape: Shape) -> int:
    """Where an input has its batch: as in the user's model, or at the front, where a conversion moved it to."""
    if shape is None:
        return 0
    if axis == 0 or shape[axis] is None or shape[0] not in (None, 1):
        return axis
    return 0 if all(size in (None, own) for size, own in zip(shape[1:], sample, strict=True)) else axis


def _first(output: NDArray[Any], repeats: int) -> NDArray[Any]:
    """What a file that got the same sample several times gives for one of them, in one row."""
    flat = np.asarray(output)
    return (flat[:1] if repeats > 1 else flat).reshape(-1).copy()


def onnx_model(model: Path | bytes, settings: Mapping[str, str] | None = None, optimize: bool = True) -> Opened:
    """An ONNX model, opened by ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    for name, value in (settings or {}).items():
        options.add_session_config_entry(name, value)
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = model if isinstance(model, bytes) else str(model)
    session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    ends = session.get_inputs()
    kinds = {"float": "float32", "double": "float64"}
    dtypes = [each.type.removeprefix("tensor(").removesuffix(")") for each in ends]
    return Opened(
        lambda arrays: session.run(None, {each.name: array for each, array in zip(ends, arrays, strict=True)}),
        [tuple(size if isinstance(size, int) and size > 0 else None for size in each.shape) for each in ends],
        tuple(np.dtype(kinds.get(each, each)) for each in dtypes),
    )


def build(folder: Path) -> Opened:
    """A build, opened by the runtime of its engine, as the files beside it say."""
    fields = yaml.safe_load((folder / "recipe.yaml").read_text())
    settings = fields.get("session", {})
    return _ENGINES[fields["engine"]](folder / next(iter(fields["files"])), settings)


def _openvino(file: Path, settings: Mapping[str, str]) -> Opened:
    import openvino

    model = openvino.Core().compile_model(file, "CPU", {**settings, "INFERENCE_NUM_THREADS": 1})
    request = model.create_infer_request()
    shapes = [
        tuple(int(each.get_length()) if each.is_static else None for each in end.partial_shape) for end in model.inputs
    ]
    return Opened(
        lambda arrays: [np.array(each) for each in request.infer(arrays).to_tuple()],
        shapes,
        tuple(end.element_type.to_dtype() for end in model.inputs),
    )


def litert_model(file: Path, settings: Mapping[str, str]) -> Opened:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    ends = [interpreter.get_input_details(), interpreter.get_output_details()]
    signatures = list(interpreter.get_signature_list())
    if signatures:
        runner = interpreter.get_signature_runner(signatures[0])
        named = [runner.get_input_details(), runner.get_output_details()]
        if all(name.rpartition("_")[2].isdigit() for each in named for name in each):
            ends = [[each[name] for name in sorted(each, key=_number)] for each in named]
    sources, sinks = ends

    def run(arrays: Arrays) -> Arrays:
        for source, array in zip(sources, arrays, strict=True):
            interpreter.set_tensor(source["index"], _rounded(array, source))
        interpreter.invoke()
        return [_numbers(interpreter.get_tensor(sink["index"]), sink) for sink in sinks]

    return Opened(run, [tuple(int(size) for size in each["shape"]) for each in sources])


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _rounded(array: NDArray[Any], end: Mapping[str, Any]) -> NDArray[Any]:
    """Values in the format of an input: integers with a scale are steps of it."""
    scale, zero = end["quantization"]
    if not scale or not np.issubdtype(end["dtype"], np.integer):
        return array.astype(end["dtype"])
    limits = np.iinfo(end["dtype"])
    return np.clip(np.round(array / np.float32(scale)) + zero, limits.min, limits.max).astype(end["dtype"])


def _numbers(array: NDArray[Any], end: Mapping[str, Any]) -> NDArray[Any]:
    scale, zero = end["quantization"]
    whole = scale and np.issubdtype(array.dtype, np.integer)
    return (array.astype(np.float32) - np.float32(zero)) * np.float32(scale) if whole else array.copy()


def _fx(file: Path, settings: Mapping[str, str]) -> Opened:
    import torch

    if "torch.backends.quantized.engine" in settings:
        torch.backends.quantized.engine = settings["torch.backends.quantized.engine"]
    return Opened(_called(torch.jit.load(str(file)).eval()), [])


def _pt2e(file: Path, settings: Mapping[str, str]) -> Opened:
    import torch

    with zipfile.ZipFile(file) as archive:
        compiled = any("/aotinductor/" in name for name in archive.namelist())
    if compiled:
        from torch._inductor import aoti_load_package

        return Opened(_called(aoti_load_package(str(file))), [])
    program = torch.export.load(file)
    takes = program.graph_signature.user_inputs
    values = [node.meta["val"] for node in program.graph.nodes if node.name in takes]
    shapes = [tuple(size if isinstance(size, int) else None for size in each.shape) for each in values]
    return Opened(_called(program.module(check_guards=False)), shapes)


def _called(module: Callable[..., Any]) -> Callable[[Arrays], Arrays]:
    """A PyTorch module as a function of arrays, whatever structure its outputs have."""
    import torch
    from torch.utils import _pytree

    def run(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            found = module(*(torch.from_numpy(np.ascontiguousarray(each)) for each in arrays))
        return [each.numpy().copy() for each in _pytree.tree_leaves(found)]

    return run


def _executorch(file: Path, settings: Mapping[str, str]) -> Opened:
    import torch
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(file).load_method("forward")

    def run(arrays: Arrays) -> Arrays:
        found = method.execute([torch.from_numpy(np.ascontiguousarray(each)) for each in arrays])
        return [each.numpy().copy() for each in found]

    told = method.metadata
    return Opened(run, [tuple(map(int, told.input_tensor_meta(i).sizes())) for i in range(told.num_inputs())])


def _keras(file: Path, settings: Mapping[str, str]) -> Opened:
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    import tensorflow as tf

    if file.suffix == ".pb":
        loaded = tf.saved_model.load(str(file.parent))
        function = loaded.signatures["serving_default"]
        specs = function.structured_input_signature[1]
        names, gives = _in_order(specs), _in_order(function.structured_outputs)

        def run(arrays: Arrays, keep: Any = loaded) -> Arrays:
            found = function(**dict(zip(names, map(tf.constant, arrays), strict=True)))
            return [found[name].numpy() for name in gives]

        return Opened(run, [tuple(specs[name].shape) for name in names])
    import keras

    model = keras.saving.load_model(file, compile=False)
    return Opened(lambda arrays: _leaves(keras, model(_packed(keras, model, arrays), training=False)), [])


def _packed(keras: Any, model: Any, arrays: Arrays) -> Any:
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.pack_sequence_as(structure, arrays)


def _leaves(keras: Any, found: Any) -> Arrays:
    return [np.asarray(each) for each in keras.tree.flatten(found)]


def _in_order(names: Mapping[str, Any]) -> list[str]:
    """Names in the order of the numbers in them: a signature has no other."""
    return sorted(names, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])


_ENGINES: dict[str, Callable[[Path, Mapping[str, str]], Opened]] = {
    "onnxruntime": onnx_model,
    "openvino": _openvino,
    "litert": litert_model,
    "pytorch_fx": _fx,
    "pytorch_pt2e": _pt2e,
    "executorch": _executorch,
    "keras": _keras,
}
