"""Write out default attributes that ONNX's shape inference gets wrong if they are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# For each operator, the attribute and its default. Shape inference gives an STFT without `onesided` both sides
# (onnx 1.23); ONNX Runtime's quantizer stores that shape, and ONNX Runtime then refuses the graph.
_DEFAULTS = {"STFT": ("onesided", 1)}


def spell_out(model: onnx.ModelProto) -> None:
    """Set these attributes to their defaults wherever they are missing."""
    import onnx

    for node in model.graph.node:
        name, value = _DEFAULTS.get(node.op_type, ("", 0))
        if name and all(attribute.name != name for attribute in node.attribute):
            node.attribute.append(onnx.helper.make_attribute(name, value))
