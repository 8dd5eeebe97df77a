"""OpenVINO, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Build:
    """The build, opened by OpenVINO."""

    packages = ("openvino",)

    def __init__(self, folder: Path, files: list[str], settings: dict[str, str], threads: int) -> None:
        import sys

        modules: dict[str, Any] = sys.modules
        modules["openvino_telemetry"] = None  # otherwise openvino sends telemetry
        import openvino

        configuration = {**settings, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        model = openvino.Core().compile_model(folder / files[0], "CPU", configuration)
        self.request = model.create_infer_request()
        batch_axis = model.inputs[0].partial_shape[0]
        self.batch = (
            int(batch_axis.get_length()) if batch_axis.is_static else 1
        )  # how many samples the graph takes at once

    def prepare(self, inputs: list[np.ndarray]) -> Any:
        return inputs

    def run(self, native: Any) -> Any:
        return self.request.infer(native, share_inputs=True, share_outputs=True).to_tuple()

    def outputs(self, native: Any) -> list[np.ndarray]:
        return [np.array(each) for each in native]  # copies: the next run writes to the same memory
