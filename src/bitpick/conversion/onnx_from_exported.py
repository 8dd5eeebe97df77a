"""A program of `torch.export` → ONNX, by PyTorch's own exporter."""

from __future__ import annotations

import ast
import itertools
import logging
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from bitpick.conversion.hop import Hop
from bitpick.errors import OperatorError
from bitpick.library_errors import telling_line
from bitpick.models.model import Format

if TYPE_CHECKING:
    import onnx
    from torch import fx

OPSET = 18  # the opset that the exporter's own rules target

HOP = Hop(
    Format.EXPORTED,
    Format.RAW_ONNX,
    environment="pytorch",
    packages=("torch", "onnxscript"),
    convert="bitpick.conversion.onnx_from_exported:convert",
)


def convert(source: str, out: str) -> None:
    """Write the ONNX form of a `.pt2` file; a free batch stays free.

    Raises:
        OperatorError: the exporter cannot express an operator.
    """
    import onnx
    import torch

    from bitpick.conversion import exported_program

    program = exported_program.load(Path(source))
    _pooling_to_mean(program.graph)
    names = [node.name for node in exported_program.user_inputs(program)]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns about packages that are not needed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(
                program, (), dynamo=True, input_names=names, opset_version=OPSET, verbose=False
            )
    except Exception as error:
        reason = telling_line(error)
        raise OperatorError(
            f"PyTorch cannot convert {Path(source).name} to ONNX: {reason}",
            fix="convert it to .onnx yourself, and run bitpick on that",
        ) from error
    assert exported is not None
    model = exported.model_proto
    _name_nodes(model.graph)
    onnx.save(model, out)


def _pooling_to_mean(graph: fx.Graph) -> None:
    """Replace pooling to one value by a mean: the exporter writes it as a gather from computed positions."""
    import torch

    for node in graph.nodes:
        match = re.fullmatch(r"aten\.adaptive_avg_pool(\d)d\.default", str(node.target))
        sizes = node.args[1] if match else ()
        if match and all(size == 1 for size in (sizes if isinstance(sizes, (list, tuple)) else (sizes,))):
            node.target = torch.ops.aten.mean.dim
            node.args = (node.args[0], [-1 - i for i in range(int(match[1]))], True)


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Name nodes after the user's modules: a node with a stored weight after its owner, others after their scope."""
    stored = {initializer.name for initializer in graph.initializer}
    taken: set[str] = set()
    for node in graph.node:
        scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "[]")
        steps = ast.literal_eval(scopes)[-2:]  # each step is a whole path
        owners = [n.removesuffix(".weight") for n in node.input[1:2] if n in stored and n.endswith(".weight")]
        name = f"{owners[0]}/{node.op_type}" if owners else "/".join(steps) or node.name
        numbered = (name if number == 1 else f"{name}_{number}" for number in itertools.count(1))
        node.name = next(each for each in numbered if each not in taken)
        taken.add(node.name)
