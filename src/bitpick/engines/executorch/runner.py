"""ExecuTorch, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Build:
    """The build, opened by ExecuTorch."""

    packages = ("executorch", "torch")

    def __init__(self, folder: Path, files: list[str], settings: dict[str, str], threads: int) -> None:
        import torch
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        torch.set_num_threads(threads)
        if portable_lib._threadpool_get_thread_count() != threads:  # by default it uses all cores
            portable_lib._unsafe_reset_threadpool(threads)
        self.torch = torch
        self.program = Runtime.get().load_program(folder / files[0])
        self.method = self.program.load_method("forward")
        # The program's fixed batch size.
        self.batch = int(self.method.metadata.input_tensor_meta(0).sizes()[0])

    def prepare(self, inputs: list[np.ndarray]) -> Any:
        return [self.torch.from_numpy(each) for each in inputs]

    def run(self, native: Any) -> Any:
        return self.method.execute(native)

    def outputs(self, native: Any) -> list[np.ndarray]:
        return [each.numpy().copy() for each in native]  # copies, because the next run writes to the same memory
