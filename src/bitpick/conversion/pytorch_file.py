"""Open the PyTorch models that engines start from: the user's exported program, or the imported module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitpick.conversion import exported_program, pytorch_from_onnx
from bitpick.models.model import Format

if TYPE_CHECKING:
    import torch


def load(path: Path) -> torch.nn.Module:
    """Load a module. Both kinds of file hold pickles: load only files that this run made."""
    if path.suffix != Format.EXPORTED.suffix:
        return pytorch_from_onnx.load(path)
    program = exported_program.load(path)
    module = exported_program.module(program)
    module.meta |= {"exported": True, "batch": exported_program.fixed_batch(program)}
    return module


def _is_exported(module: torch.nn.Module) -> bool:
    return "exported" in getattr(module, "meta", {})


def fixed_batch(module: torch.nn.Module) -> int | None:
    """Return the batch size that the module was made for; None if it accepts any."""
    if not _is_exported(module):
        return pytorch_from_onnx.fixed_batch(module)
    size: int | None = getattr(module, "meta", {})["batch"]
    return size


def layers(module: torch.nn.Module) -> list[str]:
    """Return the names of the innermost modules."""
    if _is_exported(module):
        return list(dict(_traced_modules(module)))
    return pytorch_from_onnx.layers(module)


def computing_layers(module: torch.nn.Module) -> list[tuple[str, str]]:
    """Return name and type of the innermost modules that compute: not those that only pass values on, or are fused."""
    if _is_exported(module):
        return [(name, kind) for name, kind in _traced_modules(module) if not kind.endswith(pytorch_from_onnx.PASSING)]
    return pytorch_from_onnx.computing_layers(module)


def _traced_modules(module: Any) -> list[tuple[str, str]]:
    """Return name and type of the user's innermost modules that a program has operators of."""
    modules = dict(module.named_modules()).keys() - {""}
    kinds: dict[str, str] = {}
    for node in module.graph.nodes:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        if node.op == "call_function" and stack and stack[-1][0] in modules:
            path, kind = stack[-1]
            kinds.setdefault(path, str(kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2])
    return list(kinds.items())
