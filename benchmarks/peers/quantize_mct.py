"""Sony's Model Compression Toolkit, its PyTorch side, for its default target (IMX500, version 1).

Its quantization is simulated: the exported graph has the weights, already rounded, as floats.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import torch
from job import Job, run

try:
    import torchvision  # noqa: F401 - the toolkit needs it, though these networks do not
except RuntimeError:  # it was built for another PyTorch and lacks its C++ operators, of which it looks up two by name
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")

import model_compression_toolkit as mct
from model_compression_toolkit.core.common.network_editors import NodeTypeFilter

EPOCHS = 5  # of gradient-based quantization, as in its documentation's example


def quantize(job: Job) -> tuple[str, ...]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = torch.load(job.inputs / "model.pt", weights_only=False).eval()

    def samples() -> Iterator[list[np.ndarray]]:
        for batch in job.batches():
            yield [batch]

    configuration = mct.core.CoreConfig()
    if job.bits != 8:
        weighted = [NodeTypeFilter(torch.nn.Conv2d), NodeTypeFilter(torch.nn.Linear)]
        configuration.bit_width_config.set_manual_weights_bit_width(weighted, job.bits, ["weight"] * len(weighted))
    if job.algorithm == "gradient_based":
        _without_softmax(module)
        quantized, _ = mct.gptq.pytorch_gradient_post_training_quantization(
            module,
            samples,
            core_config=configuration,
            gptq_config=mct.gptq.get_pytorch_gptq_config(n_epochs=EPOCHS),
        )
    else:
        quantized, _ = mct.ptq.pytorch_post_training_quantization(module, samples, core_config=configuration)
    # Its exporter calls PyTorch's as it was when that one's default traced the module.
    torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)
    mct.exporter.pytorch_export_model(
        quantized,
        str(job.out / "model.onnx"),
        samples,
        quantization_format=mct.exporter.QuantizationFormat.FAKELY_QUANT,
    )
    return "model.onnx", "model.onnx"


def _without_softmax(module: torch.fx.GraphModule) -> None:
    """Leave out the last softmax, beside which Hessians are refused; the order of the classes is the same."""
    (last,) = next(node for node in module.graph.nodes if node.op == "output").all_input_nodes
    last.replace_all_uses_with(last.all_input_nodes[0])
    module.graph.erase_node(last)
    module.recompile()


if __name__ == "__main__":
    run(quantize)
