"""PyTorch packages compiled ahead of time, and exported programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Build:
    """The build, loaded by PyTorch: a package of machine code, or an uncompiled program."""

    packages = ("torch",)
    batch = 1

    def __init__(self, folder: Path, files: list[str], settings: dict[str, str], threads: int) -> None:
        import zipfile

        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        with zipfile.ZipFile(folder / files[0]) as archive:
            compiled = any("/aotinductor/" in name for name in archive.namelist())
        if compiled:
            from torch._inductor import aoti_load_package

            self.call: Any = aoti_load_package(str(folder / files[0]))
            self.batch = int(
                self.call.loader.get_metadata().get("bitpick.batch") or 1
            )  # how many samples it takes at once
        else:
            from torch.fx.graph import CodeGen

            program = torch.export.load(folder / files[0])
            input_names = program.graph_signature.user_inputs
            first = next(node.meta["val"] for node in program.graph.nodes if node.name in input_names)
            # The fixed batch size, if the graph has one.
            self.batch = first.shape[0] if isinstance(first.shape[0], int) else 1
            module: Any = program.module(check_guards=False)
            # Take inputs one by one and return outputs as a tuple, whatever structures the user's module has.
            module._forward_pre_hooks.clear()
            module.graph.set_codegen(CodeGen())
            module.recompile()
            self.call = module

    def prepare(self, inputs: list[np.ndarray]) -> Any:
        return [self.torch.from_numpy(each) for each in inputs]

    def run(self, native: Any) -> Any:
        with self.torch.inference_mode():
            return self.call(*native)

    def outputs(self, native: Any) -> list[np.ndarray]:
        return [each.numpy() for each in (native if isinstance(native, (tuple, list)) else (native,))]
