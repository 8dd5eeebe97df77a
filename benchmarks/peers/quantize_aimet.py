"""AIMET, its ONNX side: quantization simulated, and exported as a QDQ graph for ONNX Runtime."""

from __future__ import annotations

import aimet_onnx
import numpy as np
import onnx
import torch
from job import Job, run

ITERATIONS = {8: 10000, 4: 15000}  # AdaRound's for a layer, as its documentation recommends


def quantize(job: Job) -> tuple[str, ...]:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - AdaRound draws its batches with it
    model = onnx.load(job.inputs / "model.onnx")
    source = model.graph.input[0].name
    samples = [{source: batch} for batch in job.batches()]
    weights = {4: aimet_onnx.int4, 8: aimet_onnx.int8}[job.bits]
    simulated = aimet_onnx.QuantizationSimModel(
        model,
        param_type=weights,
        activation_type=aimet_onnx.int8,
        session_options_kwargs={"intra_op_num_threads": 1},
    )
    if job.algorithm == "adaround":
        aimet_onnx.apply_adaround(simulated, samples, ITERATIONS[job.bits])
    elif job.algorithm == "sequential_mse":
        aimet_onnx.apply_seq_mse(simulated, samples)
    simulated.compute_encodings(samples)
    onnx.save(simulated.to_onnx_qdq(prequantize_constants=True), job.out / "model.onnx")
    return "model.onnx", "model.onnx"


if __name__ == "__main__":
    run(quantize)
