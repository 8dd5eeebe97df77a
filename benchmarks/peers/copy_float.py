"""No quantization: the float network, for the first row of a table."""

from __future__ import annotations

import shutil

from job import Job, run


def quantize(job: Job) -> tuple[str, ...]:
    if job.algorithm != "none":
        raise ValueError(f"there is no algorithm {job.algorithm!r}")
    shutil.copyfile(job.inputs / "model.onnx", job.out / "model.onnx")
    return "model.onnx", "model.onnx"


if __name__ == "__main__":
    run(quantize)
