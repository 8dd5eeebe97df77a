from __future__ import annotations

import pytest

from bitpick.engines.registry import engines
from bitpick.recipe import Recipe
from bitpick.reports.recipes import in_words


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("keras:float32", "nothing is quantized: the baseline of its engine."),
        ("openvino:bfloat16", "16-bit floats (bfloat16) instead of 32-bit ones."),
        (
            "onnxruntime:s8u8-per_channel-minmax",
            (
                "weights as signed 8-bit integers, a scale for each output channel; activations as unsigned 8-bit "
                "integers, in ranges from the smallest and the largest value seen in calibration."
            ),
        ),
        (
            "nobody:u8s8-per_tensor-percentile99.99+odd=3",
            (
                "weights as unsigned 8-bit integers, one scale for a tensor; activations as signed 8-bit integers, in "
                "ranges that hold 99.99% of the values seen in calibration; odd = 3."
            ),
        ),
        (
            "litert:s8dynamic",
            (
                "weights as signed 8-bit integers; activations as 8-bit integers, in ranges found anew for every "
                "input while the model runs."
            ),
        ),
        ("litert:s8weights", "weights as signed 8-bit integers; activations stay float32."),
        (
            "litert:s4s16-per_channel-minmax",
            (
                "weights as signed 4-bit integers, a scale for each output channel; activations as signed 16-bit "
                "integers, in ranges from the smallest and the largest value seen in calibration."
            ),
        ),
    ],
)
def test_a_recipe_in_words(recipe, says):
    assert in_words(Recipe.parse(recipe)) == says


def test_options_are_told_in_the_engines_words():
    text = in_words(Recipe.parse("onnxruntime:s8u8-per_channel-minmax+reduced_range"))
    blocks = engines()["onnxruntime"].capabilities
    (told,) = {block.options["reduced_range"] for block in blocks if "reduced_range" in block.options}
    assert text.endswith(f"; reduced_range: {told}.")


def test_what_no_id_expresses_is_told_too():
    recipe = Recipe(
        engine="e", dtypes="s8weights", name="mine", exclude=("dense*", "head"), settings={"session.precise": "1"}
    )
    assert in_words(recipe).endswith("; layers that match dense*, head stay in float; opened with session.precise = 1.")


def test_layers_with_other_weights_are_told_too():
    recipe = Recipe(engine="e", dtypes="s4weights", name="mine", weights={"dense*": "s8", "head": "s8"})
    assert in_words(recipe).endswith("; layers that match dense*, head have 8-bit weights.")
