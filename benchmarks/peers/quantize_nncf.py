"""NNCF, its OpenVINO side. It has no four-bit weights for convolutions."""

# ruff: noqa: E402 - telemetry goes before anything else is imported
from __future__ import annotations

import sys
from collections.abc import Iterable

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # otherwise openvino and nncf send telemetry

import nncf
import numpy as np
import openvino
from job import BATCH, Job, run
from nncf.quantization.range_estimator import RangeEstimatorParametersSet


def quantize(job: Job) -> tuple[str, ...]:
    nncf.set_log_level(40)
    model = openvino.Core().read_model(job.inputs / "model.onnx")
    samples = nncf.Dataset(list(job.batches()), lambda batch: [batch])
    count = -(-len(job.images()) // BATCH)  # NNCF counts batches
    if job.algorithm == "accuracy_control":
        quantized = _with_accuracy_control(job, model, samples, count)
    else:
        ranges = RangeEstimatorParametersSet.HISTOGRAM
        quantized = nncf.quantize(
            model,
            samples,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=count,
            fast_bias_correction=False,
            advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges),
        )
    openvino.save_model(quantized, job.out / "model.xml", compress_to_fp16=False)
    return "model.xml", "model.xml", "model.bin"


def _with_accuracy_control(job: Job, model: openvino.Model, samples: nncf.Dataset, count: int) -> openvino.Model:
    """Leave layers in float until no more than one in a thousand of the calibration samples is lost."""
    labels = job.labels()
    pairs = [(batch, labels[i * BATCH : (i + 1) * BATCH]) for i, batch in enumerate(job.batches())]

    def accuracy(compiled: openvino.CompiledModel, chosen: Iterable[list[np.ndarray]]) -> float:
        hits = [compiled([batch])[0].argmax(axis=1) == classes for batch, classes in chosen]
        return float(np.concatenate(hits).mean())

    return nncf.quantize_with_accuracy_control(
        model,
        samples,
        nncf.Dataset(pairs, list),
        accuracy,
        max_drop=0.001,
        subset_size=count,
    )


if __name__ == "__main__":
    run(quantize)
