from __future__ import annotations

import pytest

from bitpick.errors import RecipeError, RequestError
from bitpick.pipeline.request import check_recipe, make_request
from bitpick.pipeline.request import settled as settled_by
from bitpick.recipe import Recipe
from bitpick.tasks.classification import Classification
from bitpick.tasks.deviation import Deviation
from bitpick.tasks.regression import Regression

CLASSES = Classification(classes=("a", "b"))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"preset": "standart"}, "did you mean standard?"),
        ({"engines": ["onnxruntme"]}, "did you mean onnxruntime?"),
        ({"recipes": ["onnxruntme:float32"]}, "did you mean onnxruntime?"),
        ({"recipes": ["onnxruntime:s8u8"]}, "needs a granularity"),
        ({"recipes": ["onnxruntime:s8u8-per_channel-mse"]}, "calibration mse with s8u8: it has minmax, moving_average"),
        ({"recipes": ["keras:s8u8-per_channel-minmax"]}, "keras does not have dtypes s8u8: it has float32"),
        ({"recipes": ["onnxruntime:s8u8-per_channel-minmax+raw"]}, "the option raw"),
        ({"recipes": ["pytorch_fx:s8u8-per_channel-histogram+onednn+fbgemm"]}, "fbgemm and onednn at once"),
        ({"recipes": ["pytorch_fx:u8u8-per_channel-histogram"]}, "signed 8-bit weights only"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(model_file, fields, says):
    with pytest.raises(RecipeError) as error:
        make_request(model_file, "tiny", **fields)
    assert says in str(error.value)


def test_the_digest_is_of_what_changes_the_result(model_file, tmp_path):
    def digest(path=model_file, **fields):
        return make_request(path, "tiny", **fields)[0].sha256

    first = digest()
    copy = tmp_path / "elsewhere.onnx"
    copy.write_bytes(model_file.read_bytes())
    assert digest(copy) == first
    changes = [{"seed": 1}, {"preset": "basic"}, {"calibration_size": 5}, {"bench_seconds": 5}, {"target_samples": 7}]
    assert len({first, *(digest(**change) for change in changes)}) == len(changes) + 1
    verdicts = [
        {"flag_drop": 10}, {"min_accuracy": 0.5}, {"alpha": 0.01}, {"margin": "2%"}, {"selection": "cross-fit"},
        {"max_drop": 1}, {"max_size": 100}, {"max_latency_ratio": 0.5}, {"jobs": 3}, {"timeout": 5},
    ]  # fmt: skip
    assert {digest(**verdict) for verdict in verdicts} == {first}
    copy.write_bytes(model_file.read_bytes() + b"\x00")
    assert digest(copy) != first


def settled(model_file, task=CLASSES, **fields):
    request, _ = make_request(model_file, "tiny", **fields)
    return settled_by(request, task)


def test_a_preset_brings_its_own_threshold_and_the_user_goes_before_it(model_file):
    assert settled(model_file, preset="reference").min_accuracy == 0.85
    assert settled(model_file, preset="reference", min_accuracy=0.9).min_accuracy == 0.9
    assert settled(model_file, preset="basic").min_accuracy is None
    assert settled(model_file, Regression(), preset="reference").min_accuracy is None
    with pytest.raises(RequestError, match="judged by MAE"):
        settled(model_file, Regression(), min_accuracy=0.9)
    with pytest.raises(RequestError, match="judged by deviation"):  # a fraction, of which less is better
        settled(model_file, Deviation(outputs=("y",)), min_accuracy=0.9)


def test_the_margin_is_the_tasks_own_where_the_user_says_none(model_file):
    assert settled(model_file).margin == "1%"
    assert settled(model_file, Regression()).margin == "5%"
    assert settled(model_file, Regression(), margin="0.5").margin == "0.5"


def test_how_builds_are_judged_is_part_of_the_request(model_file):
    plain, judged = make_request(model_file, "tiny")[0], make_request(model_file, "tiny", metric="rmse")[0]
    assert plain.sha256 != judged.sha256
    assert judged.judging.metric == "rmse"
    with pytest.raises(RequestError, match="no metric 'rsme'"):
        make_request(model_file, "tiny", metric="rsme")


def test_a_recipe_of_no_capability_is_refused():
    with pytest.raises(RecipeError, match="bitpick engines"):
        check_recipe(Recipe.parse("onnxruntime:bfloat16"))


def test_what_a_build_is_for_chooses_the_engines(model_file):
    request, _ = make_request(model_file, "tiny", use="microcontroller")
    assert (request.use, request.engines) == ("microcontroller", ["litert"])
    request, _ = make_request(model_file, "tiny", use="server", engines=("openvino",))
    assert request.engines == ["openvino"]
    request, _ = make_request(model_file, "tiny", use="phone", recipes=("litert:s8dynamic",))
    assert request.engines == []
    with pytest.raises(RequestError, match="there is no use 'fridge'") as error:
        make_request(model_file, "tiny", use="fridge")
    assert "phone, server, microcontroller" in str(error.value)


def test_weights_of_single_layers_are_refused_with_the_engines_that_have_them():
    recipe = Recipe(
        engine="pytorch_pt2e", dtypes="s8s8", granularity="per_channel", calibration="histogram", weights={"a": "s4"},
        name="own",
    )  # fmt: skip
    with pytest.raises(RecipeError, match="pytorch_pt2e gives all layers the same weights with s8s8") as caught:
        check_recipe(recipe)
    assert caught.value.expected == "weights of single layers with one of litert"
    with pytest.raises(RecipeError, match="it mixes them only with s8weights, s4weights"):
        check_recipe(recipe.model_copy(update={"engine": "onnxruntime"}))
