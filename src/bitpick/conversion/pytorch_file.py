"""PyTorch models that engines start from: the user's own exported program, or the module of the importer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitpick.conversion import exported_program, pytorch_from_onnx
from bitpick.models.model import Format

if TYPE_CHECKING:
    import torch


def load(path: Path) -> torch.nn.Module:
    """The module in a file. Both kinds hold pickles: open only files that this run made."""
    if path.suffix != Format.EXPORTED.suffix:
        return pytorch_from_onnx.load(path)
    program = exported_program.load(path)
    module = exported_program.module(program)
    module.meta |= {"exported": True, "batch": exported_program.fixed_batch(program)}
    return module


def _is_exported(module: torch.nn.Module) -> bool:
    return "exported" in getattr(module, "meta", {})


def fixed_batch(module: torch.nn.Module) -> int | None:
    """The batch size that the module was made for; None where any will do."""
    if not _is_exported(module):
        return pytorch_from_onnx.fixed_batch(module)
    size: int | None = getattr(module, "meta", {})["batch"]
    return size


def layers(module: torch.nn.Module) -> list[str]:
    """The names of the modules inside a module that have none inside them."""
    if _is_exported(module):
        return list(dict(_called(module)))
    return pytorch_from_onnx.layers(module)


def computing(module: torch.nn.Module) -> list[tuple[str, str]]:
    """The names of those of them that compute, each with its type: not what passes numbers on, or is fused."""
    if _is_exported(module):
        return [(name, kind) for name, kind in _called(module) if not kind.endswith(pytorch_from_onnx.PASSING)]
    return pytorch_from_onnx.computing(module)


def _called(module: Any) -> list[tuple[str, str]]:
    """The user's innermost modules that a program has operators of, each with its type."""
    modules = dict(module.named_modules()).keys() - {""}
    found: dict[str, str] = {}
    for node in module.graph.nodes:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        if node.op == "call_function" and stack and stack[-1][0] in modules:
            path, kind = stack[-1]
            found.setdefault(path, str(kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2])
    return list(found.items())
