from __future__ import annotations

import pytest

from bitpick.recipe import Recipe
from bitpick.reports import diagnosis
from bitpick.schema.diagnosis import Diagnosis, Example
from tests.diagnosis.layers import change, layer
from tests.reports.rendering import printed

FOUND = Diagnosis(
    recipe="r",
    samples=1000,
    whole=change(0.1, 15.0),
    layers=[
        layer(
            "first", weight_sqnr_db=41.23, activation_sqnr_db=30.0, only_quantized=change(0.02), only_float=change(0.05)
        ),
        layer("passing", only_quantized=change(0.0), only_float=change(0.1, 15.0)),
        layer("left out"),
    ],
)


@pytest.mark.parametrize("width", [100, 160])
def test_layers_are_a_table_that_fits(width):
    lines = printed(diagnosis.layers(FOUND), width).splitlines()
    first = next(line for line in lines if line.startswith("first"))
    assert all(text in first for text in ("41.2", "30.0", "2.00 (1.50 to 2.50)", "5.00 (4.50 to 5.50)", "20.0"))
    assert "as all" in next(line for line in lines if line.startswith("passing"))
    assert next(line for line in lines if line.startswith("left out")).split() == ["left", "out", "Conv"]
    assert "10.00 (9.50 to 10.50)" in next(line for line in lines if line.startswith("all "))


def test_columns_of_what_no_runtime_showed_are_left_out():
    blind = FOUND.model_copy(update={"layers": FOUND.layers[1:]})
    assert "weights" not in printed(diagnosis.layers(blind), 100)


def summary(diagnose, **fields) -> str:
    run = diagnose("fake:s8u8-per_channel-minmax", "inputs", **fields)
    return printed(diagnosis.summary(run, "here"), 120)


def test_a_summary_has_rows_layers_classes_samples_advice_and_where_things_are(diagnose):
    text = summary(diagnose, apply=True)
    order = ["fake:float32", "Layers of fake:", "only it quantized", "\nall ", "Classes that lose most: ",
             "only the float32 gets right", "· The recipe loses", "· Next: without b", "· Applied, on all",
             "Applied fake:s8u8-per_channel-minmax-without-b", "here/next_recipe.yaml",
             "Everything is in here"]  # fmt: skip
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_a_recipe_that_was_not_applied_is_one_to_try(diagnose):
    assert "Try fake:s8u8-per_channel-minmax-without-b" in summary(diagnose)


def test_a_run_that_came_to_no_diagnosis_still_shows_its_rows(diagnose):
    run = diagnose("fake:s8u8-per_channel-minmax").model_copy(update={"diagnosis": None})
    text = printed(diagnosis.summary(run, "here"), 100)
    assert "fake:float32" in text
    assert "next_recipe" not in text


def test_samples_are_named_with_what_became_of_them():
    worst = tuple(
        Example(sample=place, image="x.png", label="cat", predictions={"f": "cat", "r": "dog"}) for place in range(9)
    )
    told = diagnosis._worst(FOUND.model_copy(update={"worst": worst, "next": Recipe.parse("fake:float32")}))
    assert told.startswith("0 (cat, now dog), 1 (cat, now dog)")
    assert told.endswith("and 4 more")
