"""How many of the evaluation images a saved network gets right, in the runtime that its file is for.

    python benchmarks/parts/right.py FILE IMAGES.npy LABELS.npy

FILE is `.onnx` for ONNX Runtime, `.tflite` for LiteRT or `.xml` for OpenVINO. One thread runs it, without bitpick:
its builds and those of its peers are counted by the same few lines. Prints the number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

BATCH = 500


def onnxruntime(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    if isinstance(source.shape[0], int):  # the file takes so many images and no other number
        size = source.shape[0]
        return lambda batch: np.concatenate(
            [session.run(None, {source.name: batch[i : i + size]})[0] for i in range(0, len(batch), size)]
        )
    return lambda batch: session.run(None, {source.name: batch})[0]


def litert(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()

    def one(image: np.ndarray) -> np.ndarray:
        native = image[None]
        if np.issubdtype(source["dtype"], np.integer):
            scale, zero_point = source["quantization"]
            limits = np.iinfo(source["dtype"])
            native = np.clip(np.round(native / np.float32(scale)) + zero_point, limits.min, limits.max)
        interpreter.set_tensor(source["index"], native.astype(source["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(sink["index"])[0].copy()  # one scale for all classes: it orders them as floats

    return lambda batch: np.stack([one(image) for image in batch])


def openvino(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # otherwise openvino sends telemetry
    from openvino import Core

    # As bitpick's own build, quantized or not: float layers would otherwise run in bfloat16 where the CPU has it.
    options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = Core().compile_model(path, "CPU", options).create_infer_request()
    return lambda batch: np.array(request.infer([batch]).to_tuple()[0])


RUNTIMES = {".onnx": onnxruntime, ".tflite": litert, ".xml": openvino}


def right(path: Path, images: np.ndarray, labels: np.ndarray) -> int:
    """Count the images whose largest output is that of their class.

    Args:
        path: the network's file.
        images: array of shape (n, 32, 32, 3).
        labels: their classes, of shape (n,).
    """
    run = RUNTIMES[path.suffix](path)
    hits = 0
    for start in range(0, len(images), BATCH):
        outputs = run(images[start : start + BATCH].astype(np.float32))
        hits += int((outputs.argmax(axis=1) == labels[start : start + BATCH]).sum())
    return hits


if __name__ == "__main__":
    print(right(Path(sys.argv[1]), np.load(sys.argv[2], mmap_mode="r"), np.load(sys.argv[3])))
