"""The number formats that a build really uses, and how much of it runs as integers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from bitpick.engines.executed import FLOATS, INTEGERS, Executed, Operator
from bitpick.errors import EngineError
from bitpick.recipe import Recipe
from bitpick.schema.fingerprint import Coverage, Fingerprint, Grid
from bitpick.schema.run import Flag

# Formats that a float32 build must not compute in; other integers are indices, masks and shapes.
_REDUCED = INTEGERS | FLOATS - {"float32"}
_SHOWN = 6  # operators named in a flag; all of them are in the row


def fingerprint(executed: Executed) -> Fingerprint:
    """Summarise the executed graph by the operators that do most of the work."""
    weighted = [operator for operator in executed.operators if operator.weight is not None]
    # Float layers say nothing about how the others were quantized, and an embedding table is not a layer.
    integer = [operator for operator in weighted if _kept_integer(operator)]
    quantized = [o for o in integer if o.multiplies] or integer or weighted
    softmax = next((o.arithmetic for o in executed.operators if "softmax" in o.kind.lower()), None)
    return Fingerprint(
        weights=_commonest_grid((o.weight, o.weights) for o in quantized),
        mix=_mix(o for o in quantized if _kept_integer(o)),
        activations=_commonest_grid((o.activation, o.macs or o.weights) for o in quantized),
        input=executed.input,
        output=executed.output,
        softmax=softmax,
    )


def _mix(operators: Iterable[Operator]) -> dict[str, int] | None:
    """Return the number of weights by dtype, most first; None if all have the same."""
    counts: Counter[str] = Counter()
    for operator in operators:
        assert operator.weight is not None
        counts[operator.weight.dtype] += operator.weights
    return dict(counts.most_common()) if len(+counts) > 1 else None


def coverage(executed: Executed) -> Coverage:
    """Measure how much of the executed graph runs on integers."""
    operators = executed.operators
    return Coverage(
        macs=_share((o.macs for o in operators if o.integer), (o.macs for o in operators)),
        weights=_share(
            (o.weights for o in operators if _kept_integer(o)),
            (o.weights for o in operators),
        ),
        float_operators=[f"{o.kind} {o.name}" for o in operators if not o.integer],
        uncounted=[f"{o.kind} {o.name}" for o in operators if o.uncounted],
    )


def failure(recipe: Recipe, executed: Executed) -> str | None:
    """Return why the build has nothing of its recipe; None if it has something."""
    if recipe.kind == "baseline":
        return None
    asked = _relevant(executed)
    if recipe.kind == "reduced_precision":
        if any(recipe.dtypes in (o.arithmetic, o.weight and o.weight.dtype) for o in asked):
            return None
        return f"no part of this build is {recipe.dtypes}: the runtime executes {_listed(asked)}"
    if recipe.activation_dtype == "float32":
        if any(_kept_integer(o) for o in executed.operators):
            return None
        return f"no weight of this build is an integer: the runtime executes {_listed(asked)}"
    if any(o.integer for o in asked):
        return None
    return f"no part of this build runs as integers: the runtime executes {_listed(asked)}"


def check(recipe: Recipe, executed: Executed) -> None:
    """Refuse a build that has nothing of its recipe.

    Raises:
        EngineError: the build has nothing of its recipe.
    """
    if why := failure(recipe, executed):
        cause, fix = _cause(recipe, executed)
        raise EngineError(f"{why}; {cause}", fix=fix)


def flags(recipe: Recipe, executed: Executed, kept_as: str, signs: bool = False) -> list[Flag]:
    """Flag the differences between a recipe and the executed graph.

    Args:
        recipe: the recipe.
        executed: the executed graph of its build.
        kept_as: the dtype that the runtime should store the weights in.
        signs: whether activations may be signed although the recipe has unsigned ones.
    """
    flags = [Flag(code="not_as_requested", text=text) for text in _differences(recipe, executed, kept_as, signs)]
    operators = [o for o in executed.operators if o.multiplies]
    floats = [o for o in operators if not o.integer and not _excluded(recipe, o)]
    if recipe.kind == "quantized" and recipe.activation_dtype != "float32" and floats:
        shares = coverage(executed)
        flags.append(
            Flag(
                code="partly_float",
                text=f"{len(floats)} of the {len(operators)} operators with weights run in float ({_listed(floats)}): "
                f"{math.floor(100 * shares.macs)}% of the multiply-accumulates"
                f"{' that could be counted' if shares.uncounted else ''} and {math.floor(100 * shares.weights)}% of "
                "the weights are integer",
            )
        )
    return flags


def _relevant(executed: Executed) -> list[Operator]:
    """Return the operators that a recipe applies to: those with weights, or all if none has."""
    return [o for o in executed.operators if o.multiplies] or list(executed.operators)


def _cause(recipe: Recipe, executed: Executed) -> tuple[str, str]:
    """Return why the build has nothing of its recipe, and how to fix it."""
    layers = [o for o in executed.operators if o.multiplies]
    if layers and all(_excluded(recipe, o) for o in layers):
        return "the recipe leaves all layers in float", "name fewer layers in the recipe's exclude"
    if recipe.kind == "reduced_precision":
        return (
            f"{recipe.engine} does not compute this model in {recipe.dtypes} on this machine",
            f"ship float32, or try another engine, or a CPU that has instructions for {recipe.dtypes}",
        )
    if not layers:
        return f"this model has no layer that {recipe.engine} quantizes", "ship float32, or try another engine"
    return (
        f"{recipe.engine} left all layers in float",
        "ship float32, or try another engine or more recipes (--preset full)",
    )


def _kept_integer(operator: Operator) -> bool:
    return operator.weight is not None and operator.weight.dtype in INTEGERS


def _excluded(recipe: Recipe, operator: Operator) -> bool:
    return any(recipe.excludes(name) for name in (operator.name, *operator.layers))


def _mixed(recipe: Recipe, operator: Operator) -> bool:
    return any(recipe.mixes(name) for name in (operator.name, *operator.layers))


def _is_mixed(recipe: Recipe, operator: Operator) -> bool:
    return operator.weight is not None and operator.weight.dtype == recipe.mixed_with


def _differences(recipe: Recipe, executed: Executed, kept_as: str, signs: bool) -> Iterable[str]:
    if recipe.kind == "baseline":
        if reduced := [o for o in executed.operators if o.arithmetic in _REDUCED]:
            yield f"asked for float32, but {_listed(reduced)} run in {reduced[0].arithmetic}"
        return
    if recipe.kind != "quantized":
        return
    numbers = fingerprint(executed)
    yield from _grid_differences(recipe, numbers, kept_as, signs)
    if unlike := [o for o in executed.operators if _kept_integer(o) and _mixed(recipe, o) and not _is_mixed(recipe, o)]:
        yield f"the recipe gives {_listed(unlike)} {recipe.mixed_with} weights, but the runtime has others there"
    if recipe.activation_dtype == "float32" and (
        quantizing := [o for o in executed.operators if o.multiplies and o.integer]
    ):
        yield f"activations should stay in float, but {_listed(quantizing)} rounds them to 8 bits"
    weighted = [o for o in executed.operators if o.weight is not None]
    if quantized := [o for o in weighted if (o.integer or _kept_integer(o)) and _excluded(recipe, o)]:
        yield f"the recipe leaves {_listed(quantized)} in float, but the runtime computes integers there"
    yield from _option_differences(recipe, numbers)


def _grid_differences(recipe: Recipe, numbers: Fingerprint, kept_as: str, signs: bool) -> Iterable[str]:
    weights, activations = numbers.weights, numbers.activations
    if weights is not None and weights.dtype not in {kept_as, *recipe.weights.values()}:
        yield f"weights are {weights.dtype}, not {kept_as}"
    if activations is not None:
        allowed = {recipe.activation_dtype} | ({"s8"} if signs else set())
        if recipe.static and (activations.dtype not in allowed or activations.dynamic):
            dynamic = "dynamic " if activations.dynamic else ""
            yield f"activations are {dynamic}{activations.dtype}, not {recipe.activation_dtype}"
        if recipe.activation_dtype == "dynamic" and not activations.dynamic:
            yield f"activations are {activations.dtype} with scales fixed beforehand, not dynamic"
    if weights is not None and weights.granularity and recipe.granularity not in (None, weights.granularity):
        yield f"weights have {_granularity(weights)} scales, not {recipe.granularity.replace('_', '-')} ones"


def _option_differences(recipe: Recipe, numbers: Fingerprint) -> Iterable[str]:
    bits = [grid.bits for grid in (numbers.weights, numbers.activations) if grid is not None and grid.bits is not None]
    if "reduced_range" in recipe.options and len(bits) == 2 and min(bits) > 7:
        yield "weights and activations use 8 bits, not the 7 of reduced range"
    if "integer_io" in recipe.options and {numbers.input, numbers.output} & FLOATS:
        yield f"input is {numbers.input} and output {numbers.output}, not integers"
    for option, grid in (("symmetric_weights", numbers.weights), ("symmetric_activations", numbers.activations)):
        if option in recipe.options and grid is not None and grid.symmetric is False:
            yield f"{option.removeprefix('symmetric_')} are not symmetric"


def _commonest_grid(grids: Iterable[tuple[Grid | None, int]]) -> Grid | None:
    """Merge the grids of the scheme with the largest total: symmetric if all are, with the most bits of any."""
    weighted = sorted(((g, n) for g, n in grids if g is not None), key=lambda pair: _scheme(pair[0]))
    # A weight of one channel has no granularity, and is ignored if others have one.
    weighted = [(g, n) for g, n in weighted if g.granularity or g.dtype not in INTEGERS] or weighted
    if not weighted:
        return None
    schemes = [list(group) for _, group in groupby(weighted, key=lambda pair: _scheme(pair[0]))]
    commonest = max(schemes, key=lambda group: sum(n for _, n in group))
    first = commonest[0][0]
    symmetric = [g.symmetric for g, _ in commonest]
    bits = [g.bits for g, _ in commonest if g.bits is not None]
    return first.model_copy(
        update={"symmetric": None if None in symmetric else all(symmetric), "bits": max(bits) if bits else None}
    )


def _scheme(grid: Grid) -> tuple[str, str, bool]:
    return grid.dtype, grid.granularity or "", grid.dynamic


def _share(part: Iterable[int], whole: Iterable[int]) -> float:
    total = sum(whole)
    return sum(part) / total if total else 0.0


def _granularity(grid: Grid) -> str:
    return (grid.granularity or "no").replace("_", "-")


def _listed(operators: list[Operator]) -> str:
    if not operators:
        return "nothing that computes"
    names = [f"{o.kind} {o.name}" for o in operators[:_SHOWN]]
    more = len(operators) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
