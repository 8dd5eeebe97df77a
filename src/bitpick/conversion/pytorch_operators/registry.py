"""Register converters for ONNX operators, and list the operators that the importer supports."""

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

# A converter returns one output or several; a constant output is an array.
Converter = Callable[["Context"], "fx.Node | NDArray[Any] | tuple[fx.Node, ...]"]

_converters: dict[str, Converter] = {}


def operator(*names: str) -> Callable[[Converter], Converter]:
    """Register a converter for ONNX operators of the standard domain; refuse a second one for the same operator.

    The first line of the converter's docstring says what it builds; a paragraph "Limits:" says what it refuses.
    """

    def register(converter: Converter) -> Converter:
        for name in names:
            if name in _converters:
                raise ValueError(f"{name} has a converter already: {_converters[name].__name__}")
            _converters[name] = converter
        return converter

    return register


def converters() -> Mapping[str, Converter]:
    """Return every registered converter, by operator."""
    for info in pkgutil.iter_modules(pytorch_operators.__path__):
        importlib.import_module(f"{pytorch_operators.__name__}.{info.name}")
    return _converters


@dataclass(frozen=True)
class SupportedOperator:
    """An ONNX operator that the importer supports.

    Attributes:
        operator: the operator's name.
        family: the file that holds its converter.
        form: what the operator becomes in PyTorch.
        limits: the forms of it that are refused; empty if there are none.
    """

    operator: str
    family: str
    form: str
    limits: str


def coverage() -> list[SupportedOperator]:
    """Return every supported operator, as its converter's docstring describes it, sorted by family and name."""
    operators = []
    for name, converter in converters().items():
        form, *paragraphs = [" ".join(text.split()) for text in (inspect.getdoc(converter) or "").split("\n\n")]
        limits = next((text for text in paragraphs if text.startswith("Limits: ")), "").removeprefix("Limits: ")
        family = converter.__module__.rpartition(".")[2]
        operators.append(SupportedOperator(name, family, form.rstrip("."), limits.rstrip(".")))
    return sorted(operators, key=lambda each: (each.family, each.operator))
