"""A build, or a model, evaluated by itself, with the fake engine, in this process."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from bitpick.datasets.dataset import Dataset, Split
from bitpick.engines.fake.engine import FakeEngine
from bitpick.errors import DataError, ModelError, RecipeError, RequestError, Unsupported
from bitpick.executors.inline import InlineExecutor
from bitpick.models.source import Source
from bitpick.pipeline import builds, evaluating
from bitpick.pipeline.build_job import build
from bitpick.recipe import Recipe
from bitpick.schema.groups import Calibration
from bitpick.schema.judging import Judging
from tests.conftest import linear_model
from tests.recording import RecordingListener

PLAIN = "fake:s8s8-per_tensor-minmax"


def inline(*_, **__):
    return InlineExecutor()


@pytest.fixture
def evaluate(fake_engine, dataset):
    def run(model, data=dataset, judging=None):
        run.listener = RecordingListener()
        return evaluating.evaluate(Source.of(model), lambda _: data, run.listener, judging, inline)

    return run


@pytest.fixture
def quantized(fake_engine, model_file, dataset, tmp_path):
    """A build's folder."""
    given = builds.ModelAndData(Source.of(model_file), "tiny", lambda _: dataset, RecordingListener(), inline)
    builds.quantize(given, Recipe.parse(PLAIN), tmp_path / "build", Calibration(calibration_size=50))
    return tmp_path / "build"


def right(model_file, dataset):
    """How many evaluation samples the float model gets right."""
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(model_file).graph.initializer}
    images = np.asarray(dataset.evaluation.inputs["image"]).reshape(600, -1).astype(np.float32)
    return int(((images @ stored["w"] + stored["b"]).argmax(1) == np.asarray(dataset.evaluation.labels)).sum())


def test_a_model_file_is_the_float32_of_the_engine_that_runs_its_format(evaluate, model_file, dataset):
    row = evaluate(model_file)
    assert (row.id, row.kind, row.status) == ("onnxruntime:float32+raw_graph", "baseline", "ok")
    assert (row.accuracy.correct, row.accuracy.total) == (right(model_file, dataset), 600)
    assert row.predictions_sha256 is None  # nothing is kept
    assert row.coverage.macs == 0
    assert row.size_bytes == sum(file.bytes for file in row.files)


def test_a_build_is_a_row_of_its_recipe(evaluate, quantized):
    row = evaluate(quantized)
    assert (row.id, row.kind, row.coverage.macs) == (PLAIN, "quantized", 1.0)
    assert [file.path for file in row.files] == ["model.npz"]
    assert set(row.seconds) == {"evaluate"}
    assert row.accuracy.total == 600
    assert sorted(path.name for path in quantized.iterdir()) == ["labels.txt", "model.npz", "recipe.yaml", "run.py"]


def test_a_file_that_was_quantized_elsewhere_has_a_name_of_its_own(evaluate, model_file, dataset, tmp_path):
    samples = dataset.samples(dataset.calibration).head(50)
    recipe = Recipe.parse("onnxruntime:s8s8-per_tensor-minmax")
    from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine

    made = OnnxRuntimeEngine()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    ranges = None
    if made.calibration_key(recipe) is not None:
        ranges = tmp_path / "ranges.json"
        made.calibrate(model_file, recipe, samples, ranges)
    found = made.build(model_file, recipe, samples, ranges, folder)
    row = evaluate(found.main)
    assert row.kind == "quantized"
    assert row.id == f"onnxruntime:model.{Source.of(found.main).sha256()[:8]}"
    assert row.coverage.macs == 1.0


def test_a_model_by_itself_is_judged_by_its_task(evaluate, dataset, tmp_path):
    model = linear_model(tmp_path / "one.onnx", classes=1)
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(model).graph.initializer}
    images = np.asarray(dataset.evaluation.inputs["image"]).reshape(600, -1).astype(np.float32)
    scores = (images @ stored["w"] + stored["b"])[:, 0]
    labels = scores + np.random.default_rng(0).normal(size=600)

    def data(values, classes=()):
        np.save(tmp_path / "values.npy", values)
        both = Split(dataset.evaluation.paths, tmp_path / "values.npy", "values")
        return Dataset("tiny", classes, both, both)

    row = evaluate(model, data(labels), Judging(metric="rmse"))
    expected = np.sqrt(np.square(labels - scores).mean())
    assert (row.metric.name, row.metric.value) == ("rmse", pytest.approx(expected, rel=1e-5))
    assert {metric.name for metric in row.metrics} == {"mae", "r2"}
    assert (scores.min() < 0) or (scores.max() > 1)  # no probabilities
    high = (labels > np.median(labels)).astype(np.int64)
    row = evaluate(model, data(high, ("low", "high")))
    assert row.accuracy.correct == int(((scores > 0) == high).sum())


def test_what_was_guessed_is_told(evaluate, quantized):
    evaluate(quantized)
    assert any("taken to be classification" in note for note in evaluate.listener.notes)
    assert evaluate.listener.phases[-1] == "evaluating build"
    evaluate(quantized, judging=Judging(task="classification"))
    assert evaluate.listener.notes == []


def test_without_labels_one_model_has_nothing_to_agree_with(evaluate, quantized, dataset):
    with pytest.raises(DataError, match="one model by itself has nothing to agree with") as raised:
        evaluate(quantized, dataset.without_labels())
    assert raised.value.fix.startswith("name them with --labels")


def test_classes_in_another_order_are_told(evaluate, quantized, dataset, tmp_path):
    labels = np.asarray(dataset.evaluation.labels)
    np.save(tmp_path / "turned.npy", (labels + 1) % 4)
    turned = Split(dataset.evaluation.paths, tmp_path / "turned.npy", "turned")
    evaluate(quantized, Dataset("tiny", dataset.classes, dataset.calibration, turned))
    assert any("order" in note for note in evaluate.listener.notes)


def test_a_build_that_does_not_say_what_it_takes_is_refused(evaluate, model_file, dataset, tmp_path):
    samples = dataset.samples(dataset.calibration)
    build(model_file, Recipe.parse(PLAIN), samples, None, tmp_path / "old")
    with pytest.raises(ModelError, match="does not say what it takes"):
        evaluate(tmp_path / "old")


def test_a_build_whose_engine_is_not_here_says_what_to_install(evaluate, quantized, monkeypatch):
    monkeypatch.setattr(FakeEngine, "packages", ("no-such-distribution",))
    with pytest.raises(RecipeError, match=f"{PLAIN}: no-such-distribution is not installed"):
        evaluate(quantized)


def test_a_folder_that_is_no_build_is_refused(evaluate, tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ModelError, match="holds no build"):
        evaluate(tmp_path / "taken")


def test_an_evaluation_that_fails_raises_its_error(evaluate, quantized, monkeypatch):
    def broken(*_):
        raise Unsupported("it cannot be looked at")

    monkeypatch.setattr(FakeEngine, "inspect", broken)
    with pytest.raises(Unsupported, match="it cannot be looked at"):
        evaluate(quantized)


def test_a_file_that_changes_while_it_is_evaluated_ends_that(evaluate, model_file, monkeypatch):
    real = InlineExecutor.run

    def run(self, environment, function, payload, *progress):
        outcome = real(self, environment, function, payload)
        if function.endswith(":evaluate"):
            model_file.write_bytes(model_file.read_bytes() + b"\0")
        return outcome

    monkeypatch.setattr(InlineExecutor, "run", run)
    with pytest.raises(RequestError, match=r"linear\.onnx changed while it was in use"):
        evaluate(model_file)
