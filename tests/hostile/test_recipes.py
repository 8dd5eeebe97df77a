"""Recipe and target files that someone else wrote: a recipe is data, and a target's command is all that it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.pipeline.request import make_request
from bitpick.targets import target as targets
from tests.conftest import linear_model
from tests.hostile.test_builds import SETTINGS, TAGS

PLAIN = "engine: onnxruntime\ndtypes: s8u8\ngranularity: per_channel\ncalibration: minmax\n"


def asked(scene, text: str) -> Callable[[], object]:
    """A comparison of the recipe in a file with this text, as far as its request."""
    path = scene.run / "mine.yaml"
    path.write_text(text.replace("{canary}", str(scene.canary)))
    model = linear_model(scene.run / "m.onnx")
    return lambda: make_request(model, "tiny", recipes=[str(path)])


RECIPES = {
    **{f"tag {tag.split()[0]}": f"{PLAIN}settings: {tag}\n" for tag in TAGS},
    **{f"setting {name}": f"{PLAIN}settings: {{{name}: '{value}'}}\n" for name, value in SETTINGS.items()},
    "an engine elsewhere": PLAIN.replace("onnxruntime", "../../canary") + "exclude: ['*']\n",
    "an engine that is a module": PLAIN.replace("onnxruntime", "os.path"),
    "an option elsewhere": PLAIN + "options: {../../canary/secret: ''}\n",
    "an option's value elsewhere": PLAIN + "options: {reduced_range: ../../canary}\n",
    "a name elsewhere": PLAIN + "exclude: ['*']\nname: ../../canary/secret\n",
    "a name with an escape": PLAIN + 'exclude: ["*"]\nname: "\\x1b[2J"\n',
    "an id that is not its own": "id: onnxruntime:float32\n" + PLAIN,
    "a field of code": PLAIN + "build: os:system\n",
    "a list": "- os\n- system\n",
    "nothing": "",
    "no text": "\x00\x01",
    "anchors": "a: &a [1]\nb: *a\n",
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_file_names_no_code_and_no_file(scene, name):
    error = scene.refused(asked(scene, RECIPES[name]))
    assert len(str(error)) < 2000
    assert "mine.yaml" in str(error) or "onnxruntime" in str(error)


def test_files_in_a_recipe_are_not_read(scene):
    """A build's own recipe.yaml is a recipe, too: its files belong to the build, and nobody asks for them."""
    text = f"{PLAIN}files: {{{scene.canary}/secret.txt: {'0' * 64}}}\nsession: {{a: b}}\n"
    assert scene.harmless(asked(scene, text)).error is None


@pytest.mark.parametrize("name", sorted(OnnxRuntimeEngine.configures))
def test_settings_on_the_list_are_taken(scene, name):
    assert scene.harmless(asked(scene, f"{PLAIN}settings: {{{name}: '1'}}\n")).error is None


def test_a_refused_setting_is_told_with_those_that_are_taken(scene):
    error = scene.refused(asked(scene, f"{PLAIN}settings: {{session.load_model_format: ORT}}\n"))
    assert "'session.load_model_format' is not one of the session settings that onnxruntime takes" in str(error)
    assert all(name in str(error) for name in OnnxRuntimeEngine.configures)


TARGETS = {
    **{f"tag {tag.split()[0]}": f"name: mine\nprefix: {tag}\n" for tag in TAGS},
    "a name elsewhere": "name: ../../canary\nprefix: [env]\n",
    "a name with an escape": 'name: "\\x1b[2J"\nprefix: [env]\n',
    "the name of this machine": "name: host\nprefix: [env]\n",
    "an unknown field": "name: mine\nprefix: [env]\nimport: os\n",
    "a command that is text": "name: mine\nprefix: touch {canary}/pwned\n",
    "a list": "- os\n",
    "nothing": "",
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_file_runs_nothing_while_it_is_read(scene, name):
    path = Path("mine.yaml")
    path.write_text(TARGETS[name].replace("{canary}", str(scene.canary)))
    scene.refused(lambda: targets.target(str(path)), "mine.yaml")
