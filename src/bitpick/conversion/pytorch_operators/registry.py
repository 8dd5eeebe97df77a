"""Which converter handles which operator, and what the importer knows by it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bitpick.conversion import pytorch_operators

if TYPE_CHECKING:
    from torch import fx

    from bitpick.conversion.pytorch_operators.context import Context

# What a node computes: one output or several; one that is known without running anything is an array.
Converter = Callable[["Context"], "fx.Node | NDArray[Any] | tuple[fx.Node, ...]"]

_converters: dict[str, Converter] = {}


def operator(*names: str) -> Callable[[Converter], Converter]:
    """Register a converter for ONNX operators of the standard domain; a second one for the same operator is refused.

    The first line of its docstring says what it makes; a paragraph that starts with "Limits:" says what it refuses.
    """

    def register(converter: Converter) -> Converter:
        for name in names:
            if name in _converters:
                raise ValueError(f"{name} has a converter already: {_converters[name].__name__}")
            _converters[name] = converter
        return converter

    return register


def converters() -> Mapping[str, Converter]:
    """Every registered converter, by operator."""
    for info in pkgutil.iter_modules(pytorch_operators.__path__):
        importlib.import_module(f"{pytorch_operators.__name__}.{info.name}")
    return _converters


@dataclass(frozen=True)
class Covered:
    """An ONNX operator that the importer knows.

    Attributes:
        operator: its name.
        family: the file that holds its converter.
        form: what it becomes in PyTorch.
        limits: the forms of it that are refused; empty where there are none.
    """

    operator: str
    family: str
    form: str
    limits: str


def coverage() -> list[Covered]:
    """Every operator that the importer knows, as its converter's docstring tells, by family and name."""
    found = []
    for name, converter in converters().items():
        form, *paragraphs = [" ".join(text.split()) for text in (inspect.getdoc(converter) or "").split("\n\n")]
        limits = next((text for text in paragraphs if text.startswith("Limits: ")), "").removeprefix("Limits: ")
        family = converter.__module__.rpartition(".")[2]
        found.append(Covered(name, family, form.rstrip("."), limits.rstrip(".")))
    return sorted(found, key=lambda each: (each.family, each.operator))
