"""What a careful person would write by hand for `bitpick compare --preset basic`: the yardstick of overhead.py.

    python benchmarks/parts/bare.py keras|onnxruntime|pytorch MODEL FOLDER

One process a runtime, one thread, the same data, calibration samples, builds and batch sizes as bitpick, and activation
ranges collected once; no check, no record, no report. The PyTorch side takes its module from bitpick's importer, for
want of another. Prints the CPU seconds of its evaluations, and what each build got right, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

CALIBRATION, EVALUATION = 50, 250
evaluation_seconds = 0.0
correct: dict[str, int] = {}


def arrays(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calibration images, evaluation images, evaluation labels."""
    return tuple(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("calibration", "images", "labels"))  # type: ignore[return-value]


def batches(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(images), size):
        yield images[start : start + size].astype(np.float32)


def evaluate(name: str, opened: Callable[[], Callable[[np.ndarray], np.ndarray]], folder: Path) -> None:
    global evaluation_seconds  # noqa: PLW0603 - a script, as people write them
    _, images, labels = arrays(folder)
    began = time.process_time()
    run = opened()
    hits = 0
    for i, batch in enumerate(batches(images, EVALUATION)):
        hits += int((run(batch).argmax(1) == labels[i * EVALUATION : (i + 1) * EVALUATION]).sum())
    evaluation_seconds += time.process_time() - began
    correct[name] = hits


def keras(model: str, folder: Path) -> None:
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
    import keras
    import tensorflow as tf
    import tf2onnx

    tf.config.threading.set_intra_op_parallelism_threads(1)
    network = keras.saving.load_model(model, compile=False)
    signature = [tf.TensorSpec([None, *network.inputs[0].shape[1:]], tf.float32, name="image")]
    tf2onnx.convert.from_keras(network, input_signature=signature, opset=17, output_path=str(folder / "raw.onnx"))

    def opened() -> Callable[[np.ndarray], np.ndarray]:
        loaded = keras.saving.load_model(model, compile=False)
        call = tf.function(lambda x: loaded(x, training=False), reduce_retracing=True)
        return lambda batch: call(tf.constant(batch)).numpy()

    evaluate("keras:float32", opened, folder)


def onnxruntime(_: str, folder: Path) -> None:
    import onnxruntime as ort
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        create_calibrator,
        quantize_static,
        save_tensors_data,
    )

    calibration, _, _ = arrays(folder)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "clean.onnx")
    name = ort.InferenceSession(str(folder / "raw.onnx"), options).get_inputs()[0].name

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = batches(calibration, CALIBRATION)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {name: batch}

    def opened(path: Path) -> Callable[[], Callable[[np.ndarray], np.ndarray]]:
        def load() -> Callable[[np.ndarray], np.ndarray]:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            session = ort.InferenceSession(str(path), options)
            return lambda batch: session.run(None, {name: batch})[0]

        return load

    evaluate("onnxruntime:float32", opened(folder / "clean.onnx"), folder)
    calibrator = create_calibrator(
        folder / "clean.onnx", None, str(folder / "augmented.onnx"), calibrate_method=CalibrationMethod.MinMax
    )
    calibrator.collect_data(Reader())
    save_tensors_data(calibrator.compute_data(), folder / "ranges.json")
    s8, u8 = QuantType.QInt8, QuantType.QUInt8
    for recipe, weights, activations, per_channel, reduced in (
        ("s8s8-per_tensor-minmax", s8, s8, False, False),
        ("u8u8-per_tensor-minmax", u8, u8, False, False),
        ("s8u8-per_channel-minmax", s8, u8, True, False),
        ("s8u8-per_channel-minmax+reduced_range", s8, u8, True, True),
    ):
        out = folder / f"{recipe}.onnx"
        quantize_static(
            folder / "clean.onnx",
            out,
            Reader(),
            quant_format=QuantFormat.QDQ,
            weight_type=weights,
            activation_type=activations,
            per_channel=per_channel,
            reduce_range=reduced,
            calibration_cache_path=folder / "ranges.json",
        )
        evaluate(f"onnxruntime:{recipe}", opened(out), folder)


def pytorch(_: str, folder: Path) -> None:
    import warnings

    import onnx
    import torch
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    from bitpick.conversion.pytorch_from_onnx import import_graph

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    calibration, _, _ = arrays(folder)
    example = torch.from_numpy(next(batches(calibration, 2)))

    def opened(path: Path) -> Callable[[], Callable[[np.ndarray], np.ndarray]]:
        def load() -> Callable[[np.ndarray], np.ndarray]:
            script = torch.jit.load(path).eval()

            def run(batch: np.ndarray) -> np.ndarray:
                with torch.inference_mode():
                    return script(torch.from_numpy(batch)).numpy()

            return run

        return load

    default = torch.backends.quantized.engine
    for recipe in ("float32", *(f"s8u8-per_channel-histogram{o}" for o in ("", "+fbgemm", "+onednn"))):
        backend = recipe.partition("+")[2] or default
        if backend not in torch.backends.quantized.supported_engines:
            continue
        torch.backends.quantized.engine = backend
        module = import_graph(onnx.load(folder / "clean.onnx"))
        with torch.inference_mode():
            if recipe != "float32":
                module = prepare_fx(module, get_default_qconfig_mapping(backend), example)
                for batch in batches(calibration, CALIBRATION):
                    module(torch.from_numpy(batch))
                module = convert_fx(module)
            torch.jit.save(torch.jit.trace(module, example, check_trace=False), folder / "model.pt")
        evaluate(f"pytorch_fx:{recipe}", opened(folder / "model.pt"), folder)


if __name__ == "__main__":
    {"keras": keras, "onnxruntime": onnxruntime, "pytorch": pytorch}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
    print(json.dumps({"evaluation_seconds": evaluation_seconds, "correct": correct}))
