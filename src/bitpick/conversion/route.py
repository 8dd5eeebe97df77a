"""Which hops lead from one format to another."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections import deque

from bitpick import conversion
from bitpick.conversion.hop import Hop
from bitpick.models.model import Format


@functools.cache
def hops() -> tuple[Hop, ...]:
    """Every hop there is: each module of this room that defines `HOP`."""
    names = (info.name for info in pkgutil.iter_modules(conversion.__path__) if not info.ispkg)
    modules = (importlib.import_module(f"bitpick.conversion.{name}") for name in names)
    return tuple(module.HOP for module in modules if hasattr(module, "HOP"))


def reference_of(source: Format) -> Format:
    """The form that a model's other forms are verified against: the clean graph, where one leads there, else itself."""
    return Format.ONNX if route(source, Format.ONNX) is not None else source


def route(source: Format, target: Format) -> tuple[Hop, ...] | None:
    """The shortest way from one format to another, empty where they are the same, None where there is none."""
    queue: deque[tuple[Format, tuple[Hop, ...]]] = deque([(source, ())])
    seen = {source}
    while queue:
        here, path = queue.popleft()
        if here == target:
            return path
        for hop in hops():
            if hop.source == here and hop.target not in seen:
                seen.add(hop.target)
                queue.append((hop.target, (*path, hop)))
    return None
