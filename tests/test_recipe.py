from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bitpick.errors import RecipeError
from bitpick.recipe import DTYPES, Recipe, baseline, pattern_of

words = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
calibrations = st.sampled_from(
    ["minmax", "moving_average", "entropy", "histogram", "mse", "percentile99", "percentile99.99"]
)


@st.composite
def recipes(draw):
    dtypes = draw(st.sampled_from(list(DTYPES)))
    static = DTYPES[dtypes][1] in ("s8", "u8", "s16")
    scheme = static or draw(st.booleans())
    return Recipe(
        engine=draw(words),
        dtypes=dtypes,
        granularity=draw(st.sampled_from(["per_tensor", "per_channel"])) if scheme else None,
        calibration=draw(calibrations) if scheme else None,
        options=draw(st.dictionaries(words, st.sampled_from(["", "1", "99.9", "on"]), max_size=3)),
    )


@given(recipes())
def test_an_id_decodes_to_its_recipe(recipe):
    assert Recipe.parse(recipe.id) == recipe
    assert ":" not in recipe.file_name
    assert "/" not in recipe.file_name


def test_an_id_decodes_as_documented():
    recipe = Recipe.parse("onnxruntime:s8u8-per_channel-percentile99.99+reduced_range")
    assert (recipe.engine, recipe.weight_dtype, recipe.activation_dtype) == ("onnxruntime", "s8", "u8")
    assert (recipe.granularity, recipe.calibration) == ("per_channel", "percentile99.99")
    assert recipe.options == {"reduced_range": ""}
    assert recipe.file_name == "onnxruntime__s8u8-per_channel-percentile99.99+reduced_range"


def test_options_are_in_alphabetical_order_whatever_order_they_came_in():
    assert Recipe.parse("e:s8u8-per_tensor-minmax+b+a=2").id == "e:s8u8-per_tensor-minmax+a=2+b"


@pytest.mark.parametrize(
    ("recipe", "kind"), [("e:float32", "baseline"), ("e:bfloat16", "reduced_precision"), ("e:s8dynamic", "quantized")]
)
def test_kinds(recipe, kind):
    assert Recipe.parse(recipe).kind == kind


def test_some_recipes_quantize_weights_alone():
    schemes = ["s8weights", "s4weights", "s8dynamic", "s8s8-per_channel-minmax", "float16", "float32"]
    found = [dtypes for dtypes in schemes if Recipe.parse(f"onnxruntime:{dtypes}").weights_only]
    assert found == ["s8weights", "s4weights"]


@pytest.mark.parametrize(
    "text",
    [
        "", "onnxruntime", "onnxruntime:", ":s8u8", "e:s8u8", "e:s9u8-per_tensor-minmax", "e:s8u8-per_layer-minmax",
        "e:s8u8-per_tensor-magic", "e:s8u8-per_tensor", "e:float32+", "e:float32+a b", "e:s8u8-per_tensor-minmax/../x",
        "../e:float32",
    ],
)  # fmt: skip
def test_what_is_no_recipe_id_is_refused_with_the_text(text):
    with pytest.raises(RecipeError) as error:
        Recipe.parse(text)
    assert repr(text) in str(error.value)


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError):
        baseline("e").engine = "f"  # type: ignore[misc]


@given(recipes())
def test_a_recipe_is_read_as_it_was_written(recipe):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.yaml"
        path.write_text(recipe.to_yaml())
        assert Recipe.read(path) == Recipe.named(str(path)) == recipe
        path.write_text(f"id: {recipe.id}\n")
        assert Recipe.read(path) == recipe


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no recipe"),
        ("- a\n- b\n", "holds no recipe"),
        ("engine: [", "is not YAML"),
        ("engine: e\n", "dtypes Field required"),
        ("engine: e\ndtypes: s8u8\n", "needs a granularity"),
        ("engine: e\ndtypes: float32\nspeed: 9\n", "speed Extra inputs"),
        ("id: e:s8dynamic\nengine: e\ndtypes: float32\n", "says it is e:s8dynamic, and its fields say e:float32"),
    ],
)
def test_a_file_without_a_recipe_says_what_is_missing(tmp_path, content, says):
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(RecipeError) as error:
        Recipe.named(str(tmp_path / "r.yaml"))
    assert says in str(error.value)
    assert "r.yaml" in str(error.value)


SCOPED = """
engine: e
dtypes: s8u8
granularity: per_channel
calibration: minmax
exclude: ["*/dense*/*", "softmax"]
settings: {session.x: "1"}
"""


def test_a_recipe_that_no_id_can_express_is_named_by_its_file_and_its_digest(tmp_path):
    (tmp_path / "no dense.yaml").write_text(SCOPED)
    recipe = Recipe.named(str(tmp_path / "no dense.yaml"))
    assert re.fullmatch(r"e:no_dense\.[0-9a-f]{8}", recipe.id)
    assert recipe.file_name == recipe.id.replace(":", "__")
    assert recipe.settings == {"session.x": "1"}
    (tmp_path / "other.yaml").write_text(recipe.to_yaml())
    assert Recipe.read(tmp_path / "other.yaml") == recipe  # its own name goes before the file's
    (tmp_path / "same.yaml").write_text(SCOPED + "name: mine\n")
    assert Recipe.read(tmp_path / "same.yaml").id == recipe.id.replace("no_dense", "mine")
    (tmp_path / "changed.yaml").write_text(SCOPED.replace("softmax", "conv"))
    assert Recipe.read(tmp_path / "changed.yaml").id.rpartition(".")[2] != recipe.id.rpartition(".")[2]


def test_the_order_of_patterns_says_nothing_and_options_stand_behind_the_name():
    first, second = (
        Recipe(engine="e", dtypes="s8dynamic", exclude=tuple(names), name="n", options={"o": ""})
        for names in ("ab", "bab")
    )
    assert first == second
    assert first.id.endswith("+o")


def test_a_name_that_reads_as_a_recipe_is_refused():
    def named(number):
        return Recipe(engine="e", dtypes="s8dynamic", exclude=(str(number),), name="s8u8-per_channel-percentile99")

    def make_many():
        for number in range(1000):  # one of some forty digests has digits alone
            named(number)

    with pytest.raises(ValidationError, match="reads as a recipe of its own"):
        make_many()


def test_a_name_is_for_recipes_that_need_one(tmp_path):
    (tmp_path / "r.yaml").write_text("engine: e\ndtypes: s8dynamic\nname: mine\n")
    assert Recipe.read(tmp_path / "r.yaml") == Recipe.parse("e:s8dynamic")
    with pytest.raises(ValidationError, match="needs a name"):
        Recipe(engine="e", dtypes="s8dynamic", exclude=("x",), name="a/b")
    with pytest.raises(RecipeError, match="is not a recipe id"):
        Recipe.parse("e:mine.01234567")


@pytest.mark.parametrize(
    ("pattern", "layer", "matches"),
    [
        ("dense_1", "dense_1", True),
        ("dense*", "dense_1", True),
        ("*/dense*/*", "dense_1", True),
        ("*/dense*/*", "model/dense_1/MatMul", True),
        ("*/dense/*", "dense_1", False),
        ("*conv*", "dense_1", False),
        ("block[0]", "block[0]", True),
        ("a[*]b", "a*b", True),
        ("a[*]b", "a1b", False),
        ("a[*]*", "a*b", True),
        ("dense?1", "dense_1", False),
        ("d.nse*", "dense_1", False),
    ],
)
def test_patterns_match_a_layer_by_its_name_or_by_its_path(pattern, layer, matches):
    recipe = Recipe(engine="e", dtypes="s8dynamic", exclude=(pattern,), name="n")
    assert recipe.excludes(layer) == matches


def test_a_missing_recipe_file(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read: No such file"):
        Recipe.named(str(tmp_path / "r.yml"))


@given(st.text(alphabet="a*[]/", min_size=1, max_size=8), st.text(alphabet="a*[]/", min_size=1, max_size=8))
def test_a_name_as_a_pattern_is_that_name_alone(name, other):
    recipe = Recipe(engine="e", dtypes="s8dynamic", exclude=(pattern_of(name),), name="n")
    assert recipe.excludes(name)
    assert recipe.excludes(other) == (name in (other, f"/{other}/"))


MIXED = {"engine": "e", "dtypes": "s4s8", "granularity": "per_channel", "calibration": "minmax", "name": "mine"}


def test_the_weights_of_single_layers_are_part_of_a_recipe_that_has_a_name(tmp_path):
    recipe = Recipe(**MIXED, weights={"a*": "s8", "b": "s8"}, options={"adaround": ""})
    assert recipe.id.startswith("e:mine.")
    assert recipe.id.endswith("+adaround")
    assert Recipe(**MIXED, weights={"b": "s8", "a*": "s8"}, options={"adaround": ""}).id == recipe.id
    assert Recipe(**MIXED, weights={"b": "s8"}, options={"adaround": ""}).id != recipe.id
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    assert Recipe.read(tmp_path / "r.yaml") == recipe
    assert [recipe.mixes(layer) for layer in ("abc", "b", "bc", "x/abc")] == [True, True, False, False]
    assert Recipe(**MIXED, weights={}).id == "e:s4s8-per_channel-minmax"


@pytest.mark.parametrize(
    ("dtypes", "other"), [("s4s8", "s8s8"), ("s8s16", "s4s16"), ("s8dynamic", "s4dynamic"), ("s4weights", "s8weights")]
)
def test_weights_of_single_layers_have_the_other_of_four_and_eight_bits(dtypes, other):
    fields = MIXED if dtypes in ("s4s8", "s8s16") else {"engine": "e", "name": "mine"}
    recipe = Recipe(**fields | {"dtypes": dtypes}, weights={"a": other[:2]})
    assert (recipe.weight_dtype, recipe.mixed_with) == (dtypes[:2], other[:2])
    assert (recipe.with_other_weights.dtypes, recipe.with_other_weights.weights) == (other, {})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"weights": {"a": "s4"}}, "weights of s4 for single layers: with s4s8 they can be s8"),
        ({"weights": {"a": "u8", "b": "s8"}}, "weights of u8 for single layers: with s4s8 they can be s8"),
        (
            {"weights": {"a": "s4"}, "dtypes": "s8u8"},
            "with s8u8 all layers have the same weights: only s8s8, s4s8",
        ),
        ({"weights": {"a": "s8"}, "name": None}, "a recipe with exclude, weights or settings needs a name"),
    ],
)
def test_other_weights_are_refused_with_what_is_possible(fields, says):
    with pytest.raises(ValidationError, match=says):
        Recipe(**MIXED | fields)


def test_a_file_with_wrong_weights_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("engine: e\ndtypes: s8weights\nweights: {a: s2}\n")
    with pytest.raises(RecipeError, match=r"holds no recipe: .*weights of s2 for single layers: with s8weights"):
        Recipe.read(path)
