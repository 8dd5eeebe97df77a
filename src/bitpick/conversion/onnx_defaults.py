"""Attributes that ONNX's shape inference takes for something else where they are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# By the operator: the attribute, and what it is by default. STFT without `onesided` gets a shape with both sides
# (onnx 1.23), which ONNX Runtime's quantizer writes down, and ONNX Runtime then refuses.
_DEFAULTS = {"STFT": ("onesided", 1)}


def spell_out(model: onnx.ModelProto) -> None:
    """Write such attributes down where they are left out."""
    import onnx

    for node in model.graph.node:
        name, value = _DEFAULTS.get(node.op_type, ("", 0))
        if name and all(attribute.name != name for attribute in node.attribute):
            node.attribute.append(onnx.helper.make_attribute(name, value))
