"""Describe recipes in plain words."""

from __future__ import annotations

from bitpick.engines.capability import Capability
from bitpick.engines.executed import BITS
from bitpick.engines.registry import engines
from bitpick.passes.registry import passes
from bitpick.recipe import Recipe

_RANGES = {
    "minmax": "from the smallest and the largest value seen in calibration",
    "moving_average": "from moving averages of the smallest and the largest value of each calibration batch",
    "entropy": "that lose the least information (Kullback-Leibler divergence) on the calibration set",
    "histogram": "that give the least rounding error on a histogram of the calibration values",
    "mse": "that give the least squared rounding error on the calibration set",
}


def in_words(recipe: Recipe) -> str:
    """Describe in plain words what a recipe does."""
    if recipe.kind == "baseline":
        parts = ["nothing is quantized: the baseline of its engine"]
    elif recipe.kind == "reduced_precision":
        parts = [f"16-bit floats ({recipe.dtypes}) instead of 32-bit ones"]
    else:
        scale = {"per_channel": ", a scale for each output channel", "per_tensor": ", one scale for a tensor"}
        parts = [f"weights as {_integers(recipe.weight_dtype)}{scale.get(recipe.granularity or '', '')}"]
        if recipe.static:
            parts.append(f"activations as {_integers(recipe.activation_dtype)}, in ranges {_ranges(recipe)}")
        elif recipe.activation_dtype == "dynamic":
            parts.append("activations as 8-bit integers, in ranges found anew for every input while the model runs")
        else:
            parts.append(f"activations stay {recipe.activation_dtype}")
    help_texts = {name: each.help for name, each in passes().items()}
    help_texts |= {name: text for block in _capabilities(recipe) for name, text in block.options.items()}
    for name, value in sorted(recipe.options.items()):
        parts.append(
            f"{name}{f' = {value}' if value else ''}" + (f": {help_texts[name]}" if name in help_texts else "")
        )
    if recipe.exclude:
        parts.append(f"layers that match {', '.join(recipe.exclude)} stay in float")
    if recipe.weights:
        parts.append(f"layers that match {', '.join(recipe.weights)} have {BITS[recipe.mixed_with or '']}-bit weights")
    if recipe.settings:
        parts.append(f"opened with {', '.join(f'{k} = {v}' for k, v in recipe.settings.items())}")
    return "; ".join(parts) + "."


def _integers(dtype: str) -> str:
    return f"{'signed' if dtype.startswith('s') else 'unsigned'} {BITS[dtype]}-bit integers"


def _ranges(recipe: Recipe) -> str:
    name = recipe.calibration or ""
    if name.startswith("percentile"):
        return f"that hold {name.removeprefix('percentile')}% of the values seen in calibration"
    return _RANGES.get(name, name)


def _capabilities(recipe: Recipe) -> list[Capability]:
    """Return the capabilities of the recipe's engine for these dtypes; empty if the engine is not known."""
    engine = engines().get(recipe.engine)
    return [block for block in engine.capabilities if recipe.dtypes in block.dtypes] if engine else []
