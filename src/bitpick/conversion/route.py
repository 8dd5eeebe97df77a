"""Find the hops that lead from one format to another."""

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
    """Return every hop: the `HOP` of each module in this package that defines one."""
    names = (info.name for info in pkgutil.iter_modules(conversion.__path__) if not info.ispkg)
    modules = (importlib.import_module(f"bitpick.conversion.{name}") for name in names)
    return tuple(module.HOP for module in modules if hasattr(module, "HOP"))


def reference_of(source: Format) -> Format:
    """Return the form that all others are verified against: the clean graph if a route leads to it, else `source`."""
    return Format.ONNX if route(source, Format.ONNX) is not None else source


def route(source: Format, target: Format) -> tuple[Hop, ...] | None:
    """Return the shortest route from one format to another: empty if they are the same, None if there is none."""
    queue: deque[tuple[Format, tuple[Hop, ...]]] = deque([(source, ())])
    seen = {source}
    while queue:
        current, path = queue.popleft()
        if current == target:
            return path
        for hop in hops():
            if hop.source == current and hop.target not in seen:
                seen.add(hop.target)
                queue.append((hop.target, (*path, hop)))
    return None
