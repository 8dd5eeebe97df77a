from __future__ import annotations

from bitpick.diagnosis import advise
from bitpick.diagnosis.scoped import changed, without
from bitpick.diagnosis.search import Attempt
from bitpick.recipe import Recipe
from bitpick.schema.evidence import VersusBaseline
from tests.diagnosis.layers import change, layer

PLAIN = Recipe.parse("onnxruntime:u8u8-per_tensor-minmax")


def versus(drop: float, low: float) -> VersusBaseline:
    return VersusBaseline(
        baseline="f", drop=drop, drop_interval=(low, 2 * drop), flips=3, only_baseline=2, only_row=1, p_value=0.1,
        margin=0.01, score=-1.0,
    )  # fmt: skip


def test_what_was_found_is_said_in_numbers():
    layers = [
        layer("a", only_quantized=change(0.02, wide=0.01), only_float=change(0.04, 26.02, macs=0.9)),
        layer("b", only_quantized=change(0.001), only_float=change(0.05, 20.1)),
    ]
    lines = " ".join(advise.findings(versus(0.05, 0.03), 10_000, change(0.045), 1000, layers, layers[:1]))
    assert "loses 5.00 points (95% interval 3.00 to 10.00) on 10,000 samples." in lines
    assert "1,000 of them, on which it loses 4.50 points" in lines
    assert "all layers tested at once: a 2.00 points." in lines
    assert "a takes 75% of the noise away; 10.0% of the multiply-accumulates become float" in lines
    assert "b takes" not in lines


def test_what_is_not_shown_is_not_claimed():
    layers = [layer("a", only_quantized=change(0.001), only_float=change(0.001, None))]
    lines = " ".join(advise.findings(versus(0.001, -0.001), 1000, change(0.001), 1000, layers, []))
    assert "no drop is shown" in lines
    assert "No layer is shown to lose accuracy" in lines
    assert "of them" not in lines
    assert "More than 1,000 samples" in advise.nothing_to_fix(1000, 1000)
    assert advise.next_recipe(None, PLAIN, change(0.1), 1000).endswith("left to you.")
    assert "--samples gives more" in advise.next_recipe(None, PLAIN, change(0.001), 1000)


def test_layers_without_builds_are_said_to_be_so():
    assert "those that add least noise" in advise.left_out(["a", "b"], known=True)
    assert "nothing is known of their noise" in advise.left_out(["a"], known=False)


def test_recipes_that_were_tried_are_told_by_what_is_other_in_them():
    clipped, left = changed(PLAIN, calibration="entropy"), without(PLAIN, ["x"])
    found = [
        Attempt(clipped, "ranges are wide", change(0.01), 0.04, (0.01, 0.07)),
        Attempt(changed(PLAIN, calibration="percentile99.9"), "ranges are wide", change(0.06), -0.01, (-0.03, 0.01)),
        Attempt(left, "x is noisy", change(0.07), -0.02, (-0.04, -0.001)),
    ]
    first, second = advise.tried(found, PLAIN)
    assert first.startswith("Ranges are wide. Tried: entropy wins back 4.00 points (95% interval 1.00 to 7.00), shown;")
    assert "percentile99.9 wins back -1.00 points (95% interval -3.00 to 1.00), not shown" in first
    assert "without x wins back -2.00 points (95% interval -4.00 to -0.10), shown to lose more" in second
    told = advise.next_recipe(found[0], PLAIN, change(0.05, macs=1.0), 1000)
    assert told.startswith("Next: entropy, which loses 1.00 points")
    assert "no multiply-accumulate becomes float" in told
    assert "do not show" in advise.next_recipe(found[1], PLAIN, change(0.05), 1000)


def test_what_applying_did_says_on_which_samples():
    seen = advise.applied(0.01, (0.0, 0.02), 0.04, (0.01, 0.07), 1000, False)
    assert seen.startswith("Applied, on all 1,000 samples: it loses 1.00 points")
    assert seen.endswith("wins back 4.00 points (95% interval 1.00 to 7.00), shown.")
    assert "no part in choosing it" in advise.applied(0.01, (0.0, 0.02), 0.0, (-0.01, 0.01), 800, True)
