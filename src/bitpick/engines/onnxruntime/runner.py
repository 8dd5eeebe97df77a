"""ONNX Runtime, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Build:
    """The build, opened by ONNX Runtime."""

    packages = ("onnxruntime",)

    def __init__(self, folder: Path, files: list[str], settings: dict[str, str], threads: int) -> None:
        import os

        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # by default it sends telemetry to Microsoft
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        for name, value in settings.items():
            options.add_session_config_entry(name, value)
        self.session = onnxruntime.InferenceSession(folder / files[0], options, providers=["CPUExecutionProvider"])
        inputs = self.session.get_inputs()
        self.names = [each.name for each in inputs]
        batch_axis = inputs[0].shape[0] if inputs[0].shape else None
        self.batch = batch_axis if isinstance(batch_axis, int) else 1  # how many samples the graph takes at once

    def prepare(self, inputs: list[np.ndarray]) -> Any:
        return dict(zip(self.names, inputs, strict=True))

    def run(self, native: Any) -> Any:
        return self.session.run(None, native)

    def outputs(self, native: Any) -> list[np.ndarray]:
        return list(native)
