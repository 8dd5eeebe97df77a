"""The net of `format_steps` in every format that users bring, on its way to the clean graph and to LiteRT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from bitpick.conversion.route import route
from bitpick.executors.pool import WorkerPool
from bitpick.models.model import Format
from bitpick.models.source import Source
from tests.conversion import format_steps as steps

WHOLE = {
    "keras": "net.keras",
    "h5": "net.h5",
    "keras2": "legacy.h5",
    "saved_model": "saved",
    "program": "free.pt2",
    "program of one sample": "fixed.pt2",
    "traced": "traced.pt",
    "scripted": "scripted.pt",
}


def source_of(files: Path, name: str) -> Source:
    """The net by the name of a format; see the fixtures `files` and `programs`."""
    if name == "weights":
        return Source(str(files / "net.weights.h5"), True, keras_builder="format_steps:build_keras")
    if name == "function":
        return Source("format_steps:build_torch", True, state_dict=files / "state.pt")
    return Source(str(files / WHOLE[name]), True)


def start(pool: WorkerPool, source: Source, inputs: Path, out: Path) -> Path:
    """The file that a run starts from."""
    maker = source.maker()
    if maker is None:
        assert source.path is not None
        return source.path
    needed = maker.needs_samples and not maker.describes
    payload = {"out": out, **maker.options, **({"inputs": inputs} if needed else {})}
    pool.run(maker.environment, maker.function, payload)
    return out


def clean(pool: WorkerPool, source: Source, inputs: Path, folder: Path) -> Path:
    """The clean graph of a model."""
    path = start(pool, source, inputs, folder / f"made{source.format().suffix}")
    for hop in route(source.format(), Format.ONNX) or ():
        out = folder / f"{hop.target}.onnx"
        pool.run(hop.environment, hop.convert, {"source": path, "out": out})
        path = out
    return path


def run(path: Path, *inputs: np.ndarray) -> list[np.ndarray]:
    """What an ONNX file computes."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {each.name: array for each, array in zip(session.get_inputs(), inputs, strict=True)})


def run_litert(path: Path, sample: np.ndarray) -> np.ndarray:
    """What a LiteRT file computes for a batch of one, without being told its size."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def check_clean_graph(pool: WorkerPool, files: Path, folder: Path, name: str) -> None:
    """What the clean graph of a format computes is what the framework that wrote it computes, for any batch."""
    found = clean(pool, source_of(files, name), files / "inputs.npz", folder)
    (outputs,) = run(found, steps.samples())
    np.testing.assert_allclose(outputs, np.load(files / "expected.npy"), atol=1e-5)
    assert onnx.load(found).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def check_litert(pool: WorkerPool, files: Path, folder: Path, name: str) -> None:
    """What LiteRT makes of the source itself, without a clean graph between them, computes it too."""
    source = source_of(files, name)
    (hop,) = route(source.format(), Format.LITERT) or ()
    path = start(pool, source, files / "inputs.npz", folder / f"made{source.format().suffix}")
    pool.run(hop.environment, hop.convert, {"source": path, "out": folder / "m.tflite"})
    found = run_litert(folder / "m.tflite", steps.samples()[:1])
    np.testing.assert_allclose(found, np.load(files / "expected.npy")[:1], atol=1e-5)


def free_samples(free: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Samples for a net for samples of any size, and what it computes; see `free` and `free_programs`."""
    if name.endswith(".pt2"):
        return np.load(free / "sequences.npy"), np.load(free / f"{name}.npy")
    return steps.samples(), np.load(free / "any_keras.npy")


def check_free_sizes_in_onnx(pool: WorkerPool, free: Path, folder: Path, name: str) -> None:
    """Sizes that are free stay free in the clean graph."""
    samples, expected = free_samples(free, name)
    graph = clean(pool, Source(str(free / name), True), free / "none", folder)
    np.testing.assert_allclose(run(graph, samples)[0], expected, atol=1e-5)
    assert onnx.load(graph).graph.input[0].type.tensor_type.shape.dim[1].dim_param


def check_free_sizes_in_litert(pool: WorkerPool, free: Path, folder: Path, name: str) -> None:
    """Sizes that are free are fixed in LiteRT, at those of the samples."""
    source = Source(str(free / name), True)
    samples, expected = free_samples(free, name)
    (hop,) = route(source.format(), Format.LITERT) or ()
    path = start(pool, source, free / "none", folder / f"made{source.format().suffix}")
    pool.run(hop.environment, hop.convert, {"source": path, "out": folder / "m.tflite", "shapes": [samples.shape[1:]]})
    np.testing.assert_allclose(run_litert(folder / "m.tflite", samples[:1]), expected[:1], atol=1e-5)
