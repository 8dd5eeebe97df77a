from __future__ import annotations

from pathlib import Path

from bitpick.models.model import Format
from bitpick.pipeline.places import RunPaths


def test_a_build_has_the_name_of_its_recipe_as_a_file_name():
    places = RunPaths(Path("/run"))
    assert places.build("a:s8s8-per_tensor-minmax") == Path("/run/builds/a__s8s8-per_tensor-minmax")
    assert places.draw(3, "a:float32") == Path("/run/draws/seed-3/a__float32")


def test_a_form_has_the_suffix_of_its_format_and_outputs_beside_it():
    places = RunPaths(Path("/run"))
    assert places.form(Format.LITERT) == Path("/run/forms/litert.tflite")
    assert places.outputs(Format.LITERT) == Path("/run/forms/litert.outputs.npz")
