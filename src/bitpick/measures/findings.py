"""Find what makes a build slow or big, from its executed graph and its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bitpick.engines.engine import Engine
from bitpick.engines.executed import BITS, Executed, Operator
from bitpick.recipe import Recipe
from bitpick.schema.evidence import Finding
from bitpick.schema.fingerprint import Grid

_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, **BITS}
_LEAST_CONSTANT = 256  # bytes; smaller constants, scales and shapes, are often equal and cost nothing
_LEAST_OVERHEAD = 1000  # bytes; less overhead is not worth reporting
_SHARE = 0.2  # overhead above this share of a build's bytes is reported
_ALIKE = 0.999  # correlation of a weight with itself rounded to 8 bits


def findings(
    recipe: Recipe,
    engine: Engine,
    executed: Executed,
    constants: Iterable[tuple[str, NDArray[np.generic]]],
    size: int,
) -> list[Finding]:
    """List what makes a build slow or big, with the operators concerned and the fix.

    Args:
        recipe: the build's recipe.
        engine: its engine, which knows the fixes.
        executed: its executed graph.
        constants: the arrays in its files, with their names.
        size: bytes of its files.
    """
    findings = [*_slow(recipe, executed), *_big(executed, constants, size)] if recipe.kind == "quantized" else []
    if kernels := engine.slow_kernels(recipe):
        findings.append(Finding(code="slow_kernels", about="slow", text=kernels))
    return [
        finding.model_copy(update={"mend": engine.fix(recipe, finding.code) or finding.mend}) for finding in findings
    ]


def weight_bytes(executed: Executed) -> int:
    """Return the bytes of the weights alone, in the formats that the runtime stores them in."""
    return sum(operator.weights * _bits(operator.weight) // 8 for operator in executed.operators if operator.weight)


def _bits(grid: Grid) -> int:
    return _BITS.get(grid.dtype) or grid.bits or 8


def _slow(recipe: Recipe, executed: Executed) -> Iterator[Finding]:
    floats = [o for o in executed.operators if not o.integer and "softmax" not in o.kind.lower()]
    ends = (executed.input == "float32") + (executed.output == "float32")
    extra = len(executed.conversions) - ends
    if recipe.static and extra > 0:
        yield Finding(
            code="unfused",
            about="slow",
            text=f"{_count(len(executed.conversions), 'operator')} only convert{_s(len(executed.conversions))} numbers "
            f"between formats, of which {ends} at the ends are enough: the others did not fuse with what they surround",
            nodes=list(executed.conversions),
            mend="see which operators beside them compute in float" if floats else "",
        )
    if recipe.static and floats and not recipe.exclude:
        yield Finding(
            code="float_operators",
            about="slow",
            text=f"{_kinds(floats)} compute{_s(len(floats))} in float{_work(floats, executed.operators)}, and numbers "
            "are converted for them and back",
            nodes=[f"{o.kind} {o.name}" for o in floats],
        )
    count = len(executed.transposes)
    if count > 1:  # the model's layout may need one
        yield Finding(
            code="transposes",
            about="slow",
            text=f"{count} operators only bring numbers into another order in memory",
            nodes=list(executed.transposes),
        )


def _big(executed: Executed, constants: Iterable[tuple[str, NDArray[np.generic]]], size: int) -> Iterator[Finding]:
    twice = list(_duplicates([(name, values) for name, values in constants if values.nbytes >= _LEAST_CONSTANT]))
    total = sum(count for _, _, count in twice)
    if total > _LEAST_OVERHEAD:
        yield Finding(
            code="stored_twice",
            about="big",
            text=f"{_kilobytes(total)} of {_kilobytes(size)} are stored a second time",
            nodes=[f"{second} is {first}" for first, second, _ in twice],
        )
    weights = weight_bytes(executed)
    overhead = size - weights
    uncounted = any(operator.uncounted for operator in executed.operators)
    if weights and not uncounted and overhead > max(_LEAST_OVERHEAD, _SHARE * size):
        yield Finding(
            code="container",
            about="big",
            text=f"{_kilobytes(overhead)} of {_kilobytes(size)} are not weights: names, scales, biases, constants, the "
            "graph, code",
        )


def _duplicates(constants: Sequence[tuple[str, NDArray[np.generic]]]) -> Iterator[tuple[str, str, int]]:
    """Yield constants that repeat an earlier one, exactly or rounded: both names, and the bytes of the copy."""
    seen: dict[str, str] = {}
    floats: dict[int, list[tuple[str, NDArray[np.generic]]]] = {}
    for name, values in constants:
        digest = hashlib.sha256(f"{values.dtype}{values.shape}".encode() + values.tobytes()).hexdigest()
        if digest in seen:
            yield seen[digest], name, values.nbytes
        elif values.dtype == np.float32:
            floats.setdefault(values.size, []).append((name, values))
        seen.setdefault(digest, name)
    for name, values in constants:
        if values.dtype in (np.int8, np.uint8):
            for other, float_values in floats.get(values.size, ()):
                if _is_rounded_copy(values, float_values):
                    yield name, other, float_values.nbytes


def _is_rounded_copy(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    """Whether one constant is the other, rounded with one scale or with a scale for each channel."""
    if _correlation(one, other) > _ALIKE:
        return True
    if one.shape != other.shape or one.ndim < 2:
        return False
    for axis in (0, one.ndim - 1):  # where the channels are
        parts = (np.moveaxis(each, axis, 0).reshape(one.shape[axis], -1) for each in (one, other))
        correlations = [_correlation(*pair) for pair in zip(*parts, strict=True)]
        if np.median(correlations) > _ALIKE and one.size > 8 * one.shape[axis]:
            return True
    return False


def _correlation(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    first, second = (values.astype(np.float64).ravel() for values in (one, other))
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm else 0.0


def _kinds(operators: Sequence[Operator]) -> str:
    """Count the operators of each kind, e.g. `7 Mul and 11 Add`."""
    counts = {kind: sum(o.kind == kind for o in operators) for kind in dict.fromkeys(o.kind for o in operators)}
    parts = [f"{count} {kind}" for kind, count in counts.items()]
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _work(floats: Sequence[Operator], operators: Sequence[Operator]) -> str:
    share = sum(o.macs for o in floats) / max(1, sum(o.macs for o in operators))
    return f", {100 * share:.0f}% of the multiply-accumulates" if share >= 0.005 else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _s(number: int) -> str:
    """Return the ending of a verb whose subject has this number."""
    return "s" if number == 1 else ""


def _kilobytes(count: int) -> str:
    return f"{count / 1000:.1f} kB"
