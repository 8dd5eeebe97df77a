from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Samples
from bitpick.engines.engine import Build, SessionSettings
from bitpick.engines.litert.engine import LiteRtEngine
from bitpick.errors import EngineError
from bitpick.measures import coverage
from bitpick.passes.registry import passes
from bitpick.preprocessing import Preprocessing
from bitpick.recipe import Recipe, baseline
from bitpick.targets.host import this_host
from tests.engines.litert.files import Graph, Tensor, op, stored, write

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors:UserWarning")
ENGINE = LiteRtEngine()
RNG = np.random.default_rng(0)
STATIC = "s8s8-per_channel-minmax"
frameworks = pytest.mark.frameworks


def recipe(text, *exclude):
    found = Recipe.parse(f"litert:{text}")
    return found.model_copy(update={"exclude": exclude, "name": "own"}) if exclude else found


def test_each_8_bit_recipe_is_offered_with_integer_ends_too():
    ids = {offer.recipe.id for offer in ENGINE.recipes(None, this_host())}
    plain = {text for text in ids if "s8s8" in text and "+" not in text}
    assert plain == {f"litert:s8s8-per_channel-{method}" for method in ("minmax", "moving_average")}
    assert ids >= {f"{text}+integer_io" for text in plain}


PASSES = ", ".join(passes())
DTYPES = "s8s8, s8s16, s4s8, s4s16, s8dynamic, s4dynamic, s8weights, s4weights, float16, float32"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s8s8-per_tensor-minmax", "granularity per_tensor with s8s8: it has per_channel"),
        ("s8s8-per_channel-entropy", "calibration entropy with s8s8: it has minmax, moving_average"),
        ("s8u8-per_channel-minmax", f"dtypes s8u8: it has {DTYPES}"),
        ("s8dynamic+integer_io", f"the option integer_io with s8dynamic: it has none, and the passes {PASSES}"),
    ],
)
def test_what_it_has_not_is_refused_with_what_it_has(text, told):
    assert ENGINE.refusal(recipe(text)) == f"litert does not have {told}"


@pytest.fixture
def network(tmp_path):
    """Two dense layers with a ReLU between them, which is an operator of its own; for any number of samples."""
    pytest.importorskip("litert_quantizer", reason="LiteRT is not installed: pip install 'bitpick[litert]'")
    weights = [stored(name, RNG.normal(size=size).astype(np.float32)) for name, size in (("w", (6, 3)), ("v", (4, 6)))]
    tensors = [Tensor("x", (1, 3), free=True), *weights, Tensor("first", (1, 6)), Tensor("relu", (1, 6))]
    ops = [
        op("FULLY_CONNECTED", "x w - -> first"),
        op("RELU", "first -> relu"),
        op("FULLY_CONNECTED", "relu v - -> second"),
    ]
    graph = Graph([*tensors, Tensor("second", (1, 4))], ops, "x", "second")
    return write(tmp_path / "m.tflite", graph, signature={"x": "input_0", "second": "output_0"})


def calibrated(source, wanted, samples, folder):
    """The file of the ranges that a recipe needs; None if it needs none."""
    if (key := ENGINE.calibration_key(wanted)) is None:
        return None
    ranges = folder / f"{key}.json"
    if not ranges.exists():
        ENGINE.calibrate(source, wanted, samples, ranges)
    return ranges


@pytest.fixture
def build(network, tmp_path):
    np.save(tmp_path / "x.npy", RNG.normal(size=(60, 3)).astype(np.float32))
    samples = Samples(inputs=(tmp_path / "x.npy",), count=60, sha256="0", preprocessing=(Preprocessing(),))

    def make(wanted):
        folder = tmp_path / wanted.file_name
        folder.mkdir()
        return ENGINE.build(network, wanted, samples, calibrated(network, wanted, samples, tmp_path), folder)

    return make


def answers(build, batch):
    with ENGINE.open(build, SessionSettings()) as session:
        return session.outputs(session.run(session.prepare((batch,))))[0]


def integers(build):
    """Whether each product of a build runs on integers."""
    found = ENGINE.inspect(build, (np.ones((1, 3), np.float32),)).operators
    return [operator.integer for operator in found if operator.macs]


@frameworks
def test_the_baseline_is_the_file_as_it_is(build, network):
    assert build(baseline("litert")).main.read_bytes() == network.read_bytes()


@frameworks
@pytest.mark.parametrize(("text", "ends"), [(STATIC, "float32"), (f"{STATIC}+integer_io", "s8")])
def test_a_static_build_computes_on_integers_with_the_ends_that_were_asked_for(build, text, ends):
    made, floats = build(recipe(text)), build(baseline("litert"))
    executed = ENGINE.inspect(made, (np.ones((1, 3), np.float32),))
    assert (executed.input, executed.output) == (ends, ends)
    assert integers(made) == [True, True]
    batch = RNG.normal(size=(7, 3)).astype(np.float32)
    found, expected = answers(made, batch), answers(floats, batch)
    assert found.dtype == np.float32
    assert 0 < np.sqrt(np.square(found - expected).mean()) < 0.1 * expected.std()


@frameworks
@pytest.mark.parametrize(("left", "runs"), [("first", [False, True]), ("second", [True, False])])
def test_a_layer_that_is_excluded_stays_in_float(build, left, runs):
    assert integers(build(recipe(STATIC, left))) == runs


def bits_of(build):
    """The dtypes of the weights of each product of a build, and of its activations."""
    found = ENGINE.inspect(build, (np.ones((1, 3), np.float32),)).operators
    return [(operator.weight.dtype, operator.activation.dtype) for operator in found if operator.macs]


@frameworks
@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("s4s8-per_channel-minmax+integer_io", [("s4", "s8"), ("s8", "s8")]),
        ("s8s8-per_channel-minmax", [("s8", "s8"), ("s4", "s8")]),
        ("s8s16-per_channel-minmax", [("s8", "s16"), ("s4", "s16")]),
        ("s4dynamic", [("s4", "s8"), ("s8", "s8")]),
        ("s8weights", [("s8", "float32"), ("s4", "float32")]),
    ],
)
def test_single_layers_have_other_weights(build, text, runs):
    plain = recipe(text)
    mixed = plain.model_copy(update={"weights": {"sec*": plain.mixed_with}, "name": "own"})
    made, floats = build(mixed), build(baseline("litert"))
    assert bits_of(made) == runs
    batch = RNG.normal(size=(7, 3)).astype(np.float32)
    found, expected = answers(made, batch), answers(floats, batch)
    assert 0 < np.sqrt(np.square(found - expected).mean()) < 0.3 * expected.std()
    fingerprint = coverage.fingerprint(ENGINE.inspect(made, (np.ones((1, 3), np.float32),)))
    assert fingerprint.mix == {runs[1][0]: 24, runs[0][0]: 18}
    assert coverage.flags(mixed, ENGINE.inspect(made, (batch[:1],)), ENGINE.weight_dtype(mixed)) == []


@frameworks
def test_other_weights_for_what_has_none_are_refused_with_the_layers_that_have(build):
    plain = recipe(STATIC)
    with pytest.raises(EngineError, match="no layer with weights of this model is called like 'relu'") as caught:
        build(plain.model_copy(update={"weights": {"relu": "s4"}, "name": "own"}))
    assert caught.value.expected == "a pattern that matches one of first, second"


@frameworks
def test_layers_with_weights_have_their_names_and_values(network):
    found = list(ENGINE.layer_weights(network))
    assert [names for names, _ in found] == [["first"], ["second"]]
    assert [values.shape for _, values in found] == [(6, 3), (4, 6)]
    assert [name for name, _ in ENGINE.layers(network, recipe("s8weights"))] == ["first", "second"]


@frameworks
def test_what_a_mask_blows_up_stays_in_float_and_is_told(tmp_path):
    pytest.importorskip("litert_quantizer", reason="LiteRT is not installed: pip install 'bitpick[litert]'")
    tensors = [Tensor("x", (1, 3)), stored("w", RNG.normal(size=(4, 3)).astype(np.float32))]
    tensors += [stored("mask", np.float32([0, 0, -1e9, 0])), *(Tensor(name, (1, 4)) for name in ("s", "sum", "y"))]
    ops = [
        op("FULLY_CONNECTED", "x w - -> s"),
        op("ADD", "s mask -> sum"),
        op("SOFTMAX", "sum -> y", beta=1.0),
    ]
    signature = {"x": "input_0", "y": "output_0"}
    path = write(tmp_path / "m.tflite", Graph(tensors, ops, "x", "y"), signature=signature)
    np.save(tmp_path / "x.npy", RNG.normal(size=(60, 3)).astype(np.float32))
    samples = Samples(inputs=(tmp_path / "x.npy",), count=60, sha256="0", preprocessing=(Preprocessing(),))
    (tmp_path / "build").mkdir()
    ranges = calibrated(path, recipe(STATIC), samples, tmp_path)
    build = ENGINE.build(path, recipe(STATIC), samples, ranges, tmp_path / "build")
    (told,) = build.notes
    assert told.startswith("litert leaves ADD, SOFTMAX in float: ")
    found = ENGINE.inspect(build, (np.ones((1, 3), np.float32),)).operators
    assert {operator.kind: operator.integer for operator in found} == {
        "FULLY_CONNECTED": True, "ADD": False, "SOFTMAX": False,
    }  # fmt: skip


def test_recipes_of_one_calibration_method_share_their_ranges():
    moving = STATIC.replace("minmax", "moving_average")
    shared = {
        ENGINE.calibration_key(each) for each in (recipe(STATIC), recipe(f"{STATIC}+integer_io"), recipe(STATIC, "w"))
    }
    assert len(shared) == 1
    assert ENGINE.calibration_key(recipe(moving)) not in shared
    assert ENGINE.calibration_key(recipe("s8dynamic")) is ENGINE.calibration_key(baseline("litert")) is None


@frameworks
def test_ranges_do_not_depend_on_the_recipe_that_they_are_collected_for(network, tmp_path):
    np.save(tmp_path / "x.npy", RNG.normal(size=(60, 3)).astype(np.float32))
    samples = Samples(inputs=(tmp_path / "x.npy",), count=60, sha256="0", preprocessing=(Preprocessing(),))
    wanted = [recipe(STATIC), recipe(f"{STATIC}+integer_io"), recipe(STATIC, "first")]
    for number, each in enumerate(wanted):
        ENGINE.calibrate(network, each, samples, tmp_path / f"{number}.json")
    first, *others = ((tmp_path / f"{number}.json").read_text() for number in range(len(wanted)))
    assert others == [first, first]
    assert all(name in first for name in ("first", "relu", "second"))


@frameworks
def test_a_pattern_that_matches_no_layer_is_refused(build):
    with pytest.raises(EngineError, match="called like 'third'") as caught:
        build(recipe("s8dynamic", "third"))
    assert caught.value.expected == "a pattern that matches one of first, relu, second"


@frameworks
def test_without_static_scales_only_what_has_weights_is_a_layer(network):
    both = [("first", "FULLY_CONNECTED"), ("second", "FULLY_CONNECTED")]
    assert ENGINE.layers(network, recipe("s8dynamic")) == both
    assert ENGINE.layers(network, recipe(STATIC)) == [both[0], ("relu", "RELU"), both[1]]


@frameworks
@pytest.mark.parametrize("count", [1, 2, 5, 6])
@pytest.mark.parametrize("shape", [[2, 6], [2, -1]], ids=["fails at another size", "mixes samples at another size"])
def test_a_graph_with_its_batch_built_in_answers_each_sample_by_itself(tmp_path, shape, count):
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'bitpick[litert]'")
    tensors = [Tensor("x", (2, 6)), stored("in", np.int32(shape)), stored("out", np.int32([-1, 6]))]
    tensors += [Tensor(name, (2, 6)) for name in ("rows", "shares", "y")]
    ops = [op("RESHAPE", "x in -> rows"), op("SOFTMAX", "rows -> shares", beta=1.0), op("RESHAPE", "shares out -> y")]
    path = write(tmp_path / "m.tflite", Graph(tensors, ops, "x", "y"))
    batch = RNG.normal(size=(count, 6)).astype(np.float32)
    shares = np.exp(batch) / np.exp(batch).sum(axis=1, keepdims=True)
    build = Build(baseline("litert"), tmp_path, (path.name,))
    with ENGINE.open(build, SessionSettings()) as session:
        for _ in range(2):  # what was found out about the graph holds
            np.testing.assert_allclose(session.outputs(session.run(session.prepare((batch,))))[0], shares, rtol=1e-5)
