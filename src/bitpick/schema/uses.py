"""Where builds are shipped to: named sets of engines and requirements."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """A place that builds are shipped to.

    Attributes:
        engines: the engines that run there.
        integer: whether only builds that are integer from input to output, with fixed scales, can run there.
    """

    engines: tuple[str, ...]
    integer: bool = False


USES = {
    "phone": Use(("executorch", "litert", "onnxruntime")),
    "server": Use(("onnxruntime", "openvino", "pytorch_pt2e")),
    "microcontroller": Use(("litert",), integer=True),
}
