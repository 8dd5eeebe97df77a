"""A recipe in litert-quantizer's own form."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from bitpick.engines.litert.graph import Layer
from bitpick.engines.scoping import mixed
from bitpick.errors import EngineError
from bitpick.recipe import Recipe

INTEGER_IO = "integer_io"
_FOUR_BITS = ("CONV_2D", "FULLY_CONNECTED")  # operators with kernels for four-bit weights
_ENDS = ("INPUT", "OUTPUT")  # virtual operators that the quantizer adds at both ends of each graph


def manager_of(recipe: Recipe) -> Any:
    """Return the library's recipe manager for a recipe, without what `exclude` and `weights` say."""
    from litert_quantizer import algorithm_manager, qtyping, recipe_manager

    manager = recipe_manager.RecipeManager()
    names = qtyping.TFLOperationName
    if recipe.dtypes == "float16":
        half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        manager.add_quantization_config(
            regex=".*",
            operation_name=names.ALL_SUPPORTED,
            algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
            op_config=qtyping.OpQuantizationConfig(
                weight_tensor_config=half,
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
        )
        return manager
    # What has no kernel for four-bit weights, such as depthwise convolutions, keeps eight bits.
    _add(manager, recipe, ".*", names.ALL_SUPPORTED, 8)
    for kind in _FOUR_BITS if recipe.weight_dtype == "s4" else ():
        _add(manager, recipe, ".*", names(kind), 4)
    for end in (names.INPUT, names.OUTPUT) if recipe.static and INTEGER_IO not in recipe.options else ():
        manager.add_quantization_config(
            regex=".*", operation_name=end, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE
        )
    return manager


def mix(manager: Any, recipe: Recipe, layers: Iterable[Layer]) -> None:
    """Give the layers that a recipe says other weights than the rest.

    Args:
        manager: the recipe manager, see `manager_of`.
        recipe: the recipe.
        layers: all operators with stored weights.

    Raises:
        EngineError: a pattern matches no such operator, or one that has no kernel for these weights.
    """
    from litert_quantizer import qtyping

    by_output = {layer.output: layer for layer in layers}
    bits = 4 if recipe.mixed_with == "s4" else 8
    for names in mixed(recipe, [layer.parts for layer in by_output.values()]):
        layer = by_output[";".join(names)]
        if bits == 4 and layer.kind not in _FOUR_BITS:
            raise EngineError(
                f"LiteRT has no kernel with four-bit weights for {layer.kind} {layer.output}",
                expected=f"patterns that match layers of the types {' and '.join(_FOUR_BITS)}",
                fix="change the recipe's weights",
            )
        _add(manager, recipe, _expression(layer.output), qtyping.TFLOperationName(layer.kind), bits)


def _expression(name: str) -> str:
    """Return the regular expression of the operators with this name among those of their outputs."""
    return f"(^|;){re.escape(name)}(;|$)"


def _add(manager: Any, recipe: Recipe, expression: str, kind: Any, bits: int) -> None:
    """Let operators of a kind have weights with so many bits."""
    if recipe.static:
        manager.add_static_config(expression, kind, 16 if recipe.activation_dtype == "s16" else 8, bits)
    else:
        add = manager.add_dynamic_config if recipe.activation_dtype == "dynamic" else manager.add_weight_only_config
        add(regex=expression, operation_name=kind, num_bits=bits)


def leave_in_float(manager: Any, names: Iterable[str], inside: Collection[str]) -> None:
    """Exclude operators from quantization; `inside` names those of loops and branches, which have ends of their own."""
    from litert_quantizer import algorithm_manager, qtyping

    for name in [*names, *inside]:
        ends = map(qtyping.TFLOperationName, _ENDS) if name in inside else ()
        for kind in (qtyping.TFLOperationName.ALL_SUPPORTED, *ends):
            manager.add_quantization_config(
                regex=_expression(name),
                operation_name=kind,
                algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE,
            )
