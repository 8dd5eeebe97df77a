"""PyTorch 2 export quantization, the steps that every engine built on it shares: export, observe, convert."""

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
        quantizer: a torchao quantizer, configured.
        samples: the calibration set; its observers see all of it, batch by batch.
        rewrite: changes the exported program before it is observed.

    Returns:
        The quantized `torch.fx.GraphModule`, ready to be exported again; and the operators that it leaves in float
        because of what they compute, see `spread`.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    fixed = pytorch_file.fixed_batch(module)
    # The example is of another size than the calibration batches: only then does the batch stay free.
    numbers = tuple(map(torch.from_numpy, example(samples, fixed, 2)))
    free = tuple({0: torch.export.Dim("batch")} for _ in numbers) if fixed is None else None
    exported = torch.export.export(module, numbers, dynamic_shapes=free)
    program = exported.module(check_guards=False)
    if rewrite is not None:
        rewrite(program)
    left: list[str] = []
    prepared = prepare_pt2e(program, _sound(quantizer, spread.batches(samples, fixed), left))
    with torch.no_grad():
        for batch in calibration_batches(samples, fixed):
            for part in pieces(batch, fixed):
                prepared(*map(torch.from_numpy, part))
        return convert_pt2e(prepared), left


def _sound(quantizer: Any, looked_at: Iterable[Arrays], left: list[str]) -> Any:
    """The quantizer, some of its annotations taken back.

    These are the annotations of integer arithmetic, as of token ids and masks, and of operators with tensors whose
    ranges are blown up; the names of the latter go to `left`.
    """
    annotate = quantizer.annotate

    def annotated(program: Any) -> Any:
        wide = spread.of_nodes(program, looked_at)
        program = annotate(program)
        for node in program.graph.nodes:
            found = node.meta.get("quantization_annotation")
            if found is None:
                continue
            if node in wide and (found.input_qspec_map or found.output_qspec is not None):
                left.append(node.name)
            if node in wide or not all(map(_is_float, (node, *found.input_qspec_map))):
                del node.meta["quantization_annotation"]
        return program

    quantizer.annotate = annotated
    return quantizer


def _is_float(node: Any) -> bool:
    value = node.meta.get("val")
    return bool(getattr(value, "dtype", None) is None or value.dtype.is_floating_point)
