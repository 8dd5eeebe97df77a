"""LiteRT (TensorFlow Lite), on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bitpick.engines import c_array


class Build:
    """The build, opened by LiteRT. Integer inputs and outputs have a scale and a zero point."""

    packages = ("ai-edge-litert",)

    def __init__(self, folder: Path, files: list[str], settings: dict[str, str], threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_path=str(folder / files[0]), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.sources, self.sinks = self.ends()
        self.batch = int(self.sources[0]["shape"][0])  # how many samples the graph takes at once

    def ends(self) -> list[list[Any]]:
        """Return inputs and outputs; several are ordered by the numbers at the end of their signature names."""
        details = [self.interpreter.get_input_details(), self.interpreter.get_output_details()]
        signatures = list(self.interpreter.get_signature_list())
        if len(signatures) != 1 or all(len(each) == 1 for each in details):
            return details
        runner = self.interpreter.get_signature_runner(signatures[0])
        named_details = [runner.get_input_details(), runner.get_output_details()]
        if not all(name.rpartition("_")[2].isdigit() for each in named_details for name in each):
            return details
        return [
            [each[name] for name in sorted(each, key=lambda n: int(n.rpartition("_")[2]))] for each in named_details
        ]

    def prepare(self, inputs: list[np.ndarray]) -> Any:
        native = []
        for source, array in zip(self.sources, inputs, strict=True):
            scale, zero_point = source["quantization"]
            if scale and np.issubdtype(source["dtype"], np.integer):
                limits = np.iinfo(source["dtype"])
                steps = np.clip(np.round(array / np.float32(scale)) + zero_point, limits.min, limits.max)
                native.append(steps.astype(source["dtype"]))
            else:
                native.append(array.astype(source["dtype"]))
        return native

    def run(self, native: Any) -> Any:
        for source, array in zip(self.sources, native, strict=True):
            self.interpreter.set_tensor(source["index"], array)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(sink["index"]) for sink in self.sinks]

    def outputs(self, native: Any) -> list[np.ndarray]:
        outputs = []
        for sink, array in zip(self.sinks, native, strict=True):
            scale, zero_point = sink["quantization"]
            if scale and np.issubdtype(array.dtype, np.integer):
                outputs.append((array.astype(np.float32) - np.float32(zero_point)) * np.float32(scale))
            else:
                outputs.append(array)
        return outputs


def companions(file: Path) -> dict[str, str]:
    """Return the model as a C array for programs on microcontrollers, which read no files."""
    return c_array.sources(file.read_bytes()) if file.stat().st_size <= c_array.LARGEST else {}
