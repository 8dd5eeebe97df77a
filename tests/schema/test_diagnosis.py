from __future__ import annotations

from bitpick.recipe import Recipe
from bitpick.schema.diagnosis import Diagnosis


def test_the_next_recipe_is_the_same_once_it_was_in_a_file(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "engine: onnxruntime\ndtypes: s8u8\ngranularity: per_channel\ncalibration: minmax\n"
        "options: {reduced_range: ''}\nexclude: ['net/*']\nsettings: {session.qdqisint8allowed: '1'}\n"
    )
    recipe = Recipe.named(tmp_path / "mine.yaml")
    found = Diagnosis(recipe="onnxruntime:s8u8-per_channel-minmax", samples=10, layers=(), next=recipe)
    again = Diagnosis.model_validate_json(found.model_dump_json(exclude_none=True))
    assert again.next == recipe
    assert again.next.id == recipe.id
