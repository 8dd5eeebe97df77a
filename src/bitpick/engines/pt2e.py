"""PyTorch 2 export quantization: the steps that every engine built on it shares (export, observe, convert)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bitpick.conversion import pytorch_file
from bitpick.datasets.dataset import Samples
from bitpick.engines import spread
from bitpick.engines.batches import calibration_batches, example, pieces
from bitpick.preprocessing import Arrays


def quantize(
    module: Any, quantizer: Any, samples: Samples, rewrite: Callable[[Any], None] | None = None
) -> tuple[Any, list[str]]:
    """Quantize a module with a quantizer's annotations.

    Args:
        module: a plain `torch.nn.Module` that takes inputs of shape (n, …).
        quantizer: a configured torchao quantizer.
        samples: the calibration set; the observers see all of it, batch by batch.
        rewrite: called to change the exported program before it is observed.

    Returns:
        The quantized `torch.fx.GraphModule`, ready to be exported again, and the operators that it leaves in float
        because their ranges are blown up, see `spread`.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    fixed = pytorch_file.fixed_batch(module)
    # The example's batch size differs from the calibration batches'; otherwise export would fix the batch axis.
    inputs = tuple(map(torch.from_numpy, example(samples, fixed, 2)))
    dynamic_shapes = tuple({0: torch.export.Dim("batch")} for _ in inputs) if fixed is None else None
    exported = torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes)
    program = exported.module(check_guards=False)
    if rewrite is not None:
        rewrite(program)
    in_float: list[str] = []
    prepared = prepare_pt2e(program, _drop_unsound(quantizer, spread.batches(samples, fixed), in_float))
    with torch.no_grad():
        for batch in calibration_batches(samples, fixed):
            for part in pieces(batch, fixed):
                prepared(*map(torch.from_numpy, part))
        return convert_pt2e(prepared), in_float


def _drop_unsound(quantizer: Any, inputs: Iterable[Arrays], in_float: list[str]) -> Any:
    """Make a quantizer drop annotations that would do harm.

    It drops those of integer arithmetic, such as on token ids and masks, and those of operators with tensors whose
    ranges are blown up; the names of the latter are appended to `in_float`.
    """
    annotate = quantizer.annotate

    def annotate_soundly(program: Any) -> Any:
        wide = spread.of_nodes(program, inputs)
        program = annotate(program)
        for node in program.graph.nodes:
            annotation = node.meta.get("quantization_annotation")
            if annotation is None:
                continue
            if node in wide and (annotation.input_qspec_map or annotation.output_qspec is not None):
                in_float.append(node.name)
            if node in wide or not all(map(_is_float, (node, *annotation.input_qspec_map))):
                del node.meta["quantization_annotation"]
        return program

    quantizer.annotate = annotate_soundly
    return quantizer


def _is_float(node: Any) -> bool:
    value = node.meta.get("val")
    return bool(getattr(value, "dtype", None) is None or value.dtype.is_floating_point)
