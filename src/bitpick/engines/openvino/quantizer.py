"""Static quantization by NNCF's post-training quantization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bitpick.datasets.dataset import Samples
from bitpick.engines.batches import calibration_batches, calibration_size, pieces
from bitpick.preprocessing import Arrays
from bitpick.recipe import Recipe

MIXED = "mixed"
BIAS = "full_bias_correction"
_BIAS_BATCHES = 4  # as many as NNCF uses for 1,000 samples


def quantize(model: Any, recipe: Recipe, samples: Samples, in_float: Iterable[str], transformer: bool) -> Any:
    """Return a model quantized statically.

    Args:
        model: an `openvino.Model`.
        recipe: the recipe.
        samples: the calibration set.
        in_float: names of the operators to leave in float.
        transformer: whether the model is one.
    """
    import nncf

    nncf.set_log_level(40)
    full_correction = BIAS in recipe.options  # full bias correction keeps all activations of its batches
    if full_correction:
        _bound_bias_correction()
    ignored_names = dict.fromkeys(in_float)
    scope = nncf.IgnoredScope(
        names=list(ignored_names), validate=False
    )  # some of these operators are not in NNCF's graph
    preset = nncf.QuantizationPreset.MIXED if MIXED in recipe.options else nncf.QuantizationPreset.PERFORMANCE
    return nncf.quantize(
        model,
        nncf.Dataset(_Batches(samples, fixed_batch(model), full_correction), list),
        preset=preset,
        subset_size=-(
            -samples.count // (fixed_batch(model) or calibration_size(samples, None, full_correction))
        ),  # NNCF counts runs
        ignored_scope=scope,
        fast_bias_correction=not full_correction,
        model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        advanced_parameters=_parameters(recipe, transformer),
    )


def _parameters(recipe: Recipe, transformer: bool) -> Any:
    """Return NNCF's advanced parameters for a recipe; None for its defaults.

    SmoothQuant, which NNCF adds for transformers, is off: it took a small vision transformer from 84 to 51% (NNCF 3.4),
    and at none of five strengths was it better than nothing. The rest of what NNCF does for transformers keeps 84%.
    """
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    chosen: dict[str, Any] = {}
    if recipe.calibration == "histogram":
        chosen["activations_range_estimator_params"] = RangeEstimatorParametersSet.HISTOGRAM
    if transformer:
        chosen["smooth_quant_alphas"] = nncf.AdvancedSmoothQuantParameters(matmul=-1)
    return nncf.AdvancedQuantizationParameters(**chosen) if chosen else None


def _bound_bias_correction() -> None:
    """Limit full bias correction to the first batches.

    Otherwise it keeps every layer's activations for a fifth of the calibration set, however large that is.
    """
    from nncf.quantization.algorithms.bias_correction.algorithm import BiasCorrection
    from nncf.quantization.algorithms.post_training import pipeline

    assert hasattr(pipeline, "BiasCorrection")  # the pipeline looks it up here

    def bounded(subset_size: int, *others: Any) -> Any:
        return BiasCorrection(min(subset_size, _BIAS_BATCHES), *others)

    pipeline.BiasCorrection = bounded


class _Batches:
    """Calibration batches that NNCF can iterate over repeatedly."""

    def __init__(self, samples: Samples, size: int | None, kept: bool) -> None:
        self._samples = samples
        self._size = size
        self._kept = kept

    def __iter__(self) -> Iterator[Arrays]:
        for batch in calibration_batches(self._samples, self._size, self._kept):
            yield from pieces(batch, self._size)


def fixed_batch(model: Any) -> int | None:
    """Return the fixed batch size of a model; None if it takes any."""
    batch_axis = model.inputs[0].partial_shape[0]
    return int(batch_axis.get_length()) if batch_axis.is_static else None
