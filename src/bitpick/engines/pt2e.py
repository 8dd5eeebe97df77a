"""PyTorch 2 export quantization, the steps that every engine built on it shares: export, observe, convert."""

from __future__ import annotations

from typing import Any

from bitpick.data.dataset import Samples
from bitpick.engines.engine import CALIBRATION_BATCH


def quantize(module: Any, quantizer: Any, samples: Samples) -> Any:
    """Quantize a module with a quantizer's annotations.

    Args:
        module: a plain `torch.nn.Module` that takes inputs of shape (n, …).
        quantizer: a torchao quantizer, configured.
        samples: the calibration set; its observers see all of it, batch by batch.

    Returns:
        The quantized `torch.fx.GraphModule`, ready to be exported again.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    # The example is of another size than the calibration batches: only then does the batch stay free.
    example = tuple(map(torch.from_numpy, next(samples.head(2).batches(2))))
    free = tuple({0: torch.export.Dim("batch")} for _ in example)
    exported = torch.export.export(module, example, dynamic_shapes=free)
    prepared = prepare_pt2e(exported.module(check_guards=False), quantizer)
    with torch.no_grad():
        for batch in samples.batches(CALIBRATION_BATCH):
            prepared(*map(torch.from_numpy, batch))
        return convert_pt2e(prepared)
