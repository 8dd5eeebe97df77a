"""esp-ppq, for Espressif's ESP32-P4: signed 8 bits, scales that are powers of two, ranges of least divergence.

What ships is `model.espdl`, which only the chip's library opens; its exported QDQ graph is evaluated in its place.
"""

from __future__ import annotations

import shutil

import torch
from esp_ppq import QuantizationSettingFactory, TargetPlatform
from esp_ppq.api import espdl_quantize_onnx
from esp_ppq.lib import Exporter
from job import BATCH, Job, run


def quantize(job: Job) -> tuple[str, ...]:
    torch.set_num_threads(1)
    images = job.images()
    source = shutil.copyfile(job.inputs / "model.onnx", job.out / "float.onnx")  # it writes a simpler graph over it
    setting = QuantizationSettingFactory.espdl_setting()
    setting.tqt_optimization = job.algorithm == "tqt"
    graph = espdl_quantize_onnx(
        onnx_import_file=str(source),
        espdl_export_file=str(job.out / "model.espdl"),
        calib_dataloader=[torch.from_numpy(batch) for batch in job.batches()],
        calib_steps=-(-len(images) // BATCH),
        input_shape=[1, *images.shape[1:]],
        target="esp32p4",
        setting=setting,
        error_report=False,
    )
    Exporter(platform=TargetPlatform.ONNXRUNTIME).export(
        file_path=str(job.out / "model.onnx"), graph=graph, remove_activation=False
    )
    source.unlink()
    return "model.onnx", "model.espdl"


if __name__ == "__main__":
    run(quantize)
