"""Whole comparisons with the fake engine, of tasks beyond classification: what is measured, claimed, and told."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn import metrics as sklearn

from bitpick.datasets.dataset import Dataset, Split
from bitpick.datasets.labels import encode
from bitpick.errors import DataError, RequestError
from bitpick.pipeline import directory as stores
from bitpick.pipeline.build_job import open_build
from bitpick.schema.judging import Judging
from bitpick.selection.gate import Rules, gate
from tests.reports.rendering import reports

FLOAT, TENSOR, CHANNEL = "fake:float32", "fake:s8s8-per_tensor-minmax", "fake:s8u8-per_channel-minmax"
COUNT = 400


def dense(path, *weights, sigmoid=False):
    """An ONNX graph of Gemms in a row, with a ReLU between them; weights of shape (inputs, outputs)."""
    nodes, stored, last = [], [], "input"
    for number, weight in enumerate(weights):
        name = f"dense{number}" if number + 1 < len(weights) else "output"
        stored.append(onnx.numpy_helper.from_array(weight.astype(np.float32), f"w{number}"))
        stored.append(onnx.numpy_helper.from_array(np.zeros(weight.shape[1], np.float32), f"b{number}"))
        nodes.append(helper.make_node("Gemm", [last, f"w{number}", f"b{number}"], [name], f"net/{name}"))
        last = name
        if number + 1 < len(weights):  # as the fake engine has it
            nodes.append(helper.make_node("Relu", [name], [f"{name}_relu"], f"net/{name}_relu"))
            last = f"{name}_relu"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("input", weights[0].shape[0]), ("output", weights[-1].shape[1]))
    ]
    graph = helper.make_graph(nodes, "dense", ends[:1], ends[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def data(folder, inputs, labels, classes=()):
    """Half of the samples to calibrate with, half to evaluate on."""

    def split(name, window):
        np.save(folder / f"{name}.npy", inputs[window])
        if labels is not None:
            np.save(folder / f"{name}_labels.npy", labels[window])
        return Split(
            {"input": folder / f"{name}.npy"}, folder / f"{name}_labels.npy" if labels is not None else None, name
        )

    half = len(inputs) // 2
    return Dataset("tiny", classes, split("train", slice(half)), split("test", slice(half, None)))


@pytest.fixture
def compare(compare, tmp_path):
    """Compare builds of a model of Gemms, judged by its task's own margin; `told` is what the reports say."""

    def run(weights, inputs, labels, classes=(), judging=None, recipes=(), **options):
        judged = {} if judging is None else judging.model_dump(exclude={"metric_sha256"}, exclude_none=True)
        samples = data(tmp_path, inputs.astype(np.float32), labels, classes)
        options = {"calibration_size": 50, "margin": None} | judged | options
        found = compare(*recipes, model=dense(tmp_path / "dense.onnx", *weights), load=lambda _: samples, **options)
        run.directory = compare.directory
        run.told = "\n".join(text for name, text in reports(found, run.directory.root).items() if name != "notebook")
        return found

    return run


def regression(seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    weight, inputs = rng.normal(size=(6, 1)), rng.random((2 * COUNT, 6))
    return weight, inputs, (inputs @ weight)[:, 0] + rng.normal(0, noise, 2 * COUNT)


def answers(compare, row):
    return stores.predictions(compare.directory.build(row))


def test_regression(compare):
    weight, inputs, labels = regression()
    run = compare([weight], inputs, labels.astype(np.float32), judging=Judging(unit="°C"), flag_drop=50)
    assert run.task == "regression"
    assert run.request.margin == "5%"
    floats, build = run.row(FLOAT), run.row(TENSOR)
    assert floats.metric.value == pytest.approx(sklearn.mean_absolute_error(labels[COUNT:], answers(compare, FLOAT)))
    mae = sklearn.mean_absolute_error(labels[COUNT:], answers(compare, TENSOR))
    assert build.versus_baseline.drop == pytest.approx(mae - floats.metric.value, abs=1e-7)
    assert build.versus_baseline.margin == pytest.approx(0.05 * floats.metric.value)
    assert (build.metric.name, build.metric.unit, build.metric.higher_is_better) == ("mae", "°C", False)
    further = {metric.name: metric.value for metric in build.metrics}
    assert further["r2"] == pytest.approx(sklearn.r2_score(labels[COUNT:], answers(compare, TENSOR)), abs=1e-6)
    assert further["rmse"] == pytest.approx(sklearn.root_mean_squared_error(labels[COUNT:], answers(compare, TENSOR)))
    assert build.versus_baseline.flips is None
    assert build.accuracy is None
    assert build.versus_baseline.noninferior
    assert run.recommendation.id is not None
    assert set(run.recommendation.by_use) >= {"mae", "size"}
    text = compare.told
    assert "accura" not in text.lower()
    for words in ("MAE", "RMSE", "R²", "°C", "rise", "lower is better", "5% of the float32"):
        assert words in text, words
    assert "points" not in text
    assert "flips" not in text
    assert "Impact on each class" not in text


def test_a_build_that_is_shown_to_be_no_worse_is_chosen_and_a_bad_one_is_not(compare):
    rng = np.random.default_rng(3)
    weight, inputs = rng.normal(size=(6, 1)), rng.normal(size=(2 * COUNT, 6))
    labels = (inputs @ weight)[:, 0] + rng.normal(0, 1e-3, 2 * COUNT)  # rounding the weights is far more than that
    run = compare([weight], inputs, labels)
    assert run.recommendation.id is None
    assert not run.row(TENSOR).versus_baseline.noninferior
    assert "No build is shown to have a rise of less than 5% of its float32's MAE" in run.recommendation.because[0]
    assert [flag.code for flag in run.row(TENSOR).flags] == ["drop"]


def test_the_metric_that_is_asked_for_and_a_margin_in_its_unit(compare):
    weight, inputs, labels = regression()
    judging = Judging(metric="rmse", unit="K")
    run = compare([weight], inputs, labels, judging=judging, margin="0.2", max_drop=10)
    assert run.row(TENSOR).metric.name == "rmse"
    assert run.row(TENSOR).versus_baseline.margin == 0.2
    assert "shown to be under 0.2000 K" in " ".join(run.recommendation.because)
    row = run.recommendation.id
    [check] = gate(run, Rules(max_drop=0.1), [row])
    assert check.passed
    assert check.text.endswith(" K allowed")
    lost = run.row(CHANNEL).versus_baseline.drop / run.row(FLOAT).metric.value
    assert not gate(run, Rules(max_drop=lost - 1e-9), [CHANNEL])[0].passed
    assert gate(run, Rules(max_drop=lost + 1e-9), [CHANNEL])[0].passed


def test_without_labels_the_question_is_agreement_and_flips_bound_what_is_lost(compare):
    rng = np.random.default_rng(0)
    weight, inputs = rng.normal(size=(8, 5)), rng.normal(size=(2 * COUNT, 8))
    run = compare([weight], inputs, None, margin="10")
    assert run.task == "agreement"
    build, floats = run.row(TENSOR), run.row(FLOAT)
    assert floats.metric.value == 1
    flips = int((answers(compare, FLOAT) != answers(compare, TENSOR)).sum())
    assert build.versus_baseline.flips == flips
    assert build.metric.value == pytest.approx(1 - flips / COUNT)
    assert build.accuracy is None
    assert build.fidelity.agreement == pytest.approx(1 - flips / COUNT)
    assert run.recommendation.id is not None
    flipped = run.row(run.recommendation.id).versus_baseline.flips
    assert f"{flipped} of {COUNT} predictions differ from its float32's" in " ".join(run.recommendation.because)
    text = compare.told
    assert "accura" not in text.lower()
    for words in ("Whatever the labels are", "agreement", "flips", "KL divergence", "dB"):
        assert words in text, words


def test_without_labels_values_deviate(compare):
    rng = np.random.default_rng(0)
    weight, inputs = rng.normal(size=(8, 1)), rng.normal(size=(2 * COUNT, 8))
    run = compare([weight], inputs, None)
    assert (run.task, run.request.margin) == ("deviation", "5%")
    own, found = answers(compare, FLOAT), answers(compare, TENSOR)
    ratio = float(np.sqrt(np.square(found - own).mean() / np.square(own).mean()))
    assert run.row(TENSOR).metric.value == pytest.approx(ratio, rel=1e-3)
    assert run.row(TENSOR).versus_baseline.margin == 0.05
    assert run.row(FLOAT).metric.value < 1e-5
    assert run.recommendation.id is not None
    text = compare.told
    assert "accura" not in text.lower()
    assert "5% of what the float model gives" in text
    assert f"{run.row(TENSOR).fidelity.sqnr_db:.1f} dB" in text


def autoencoder(seed=0):
    """Inputs on a plane, which the model reconstructs, and some off it."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(8, 3)))[0]
    inputs = rng.normal(size=(2 * COUNT, 3)) @ basis.T + rng.normal(0, 0.1, (2 * COUNT, 8))
    labels = (rng.random(2 * COUNT) < 0.1).astype(np.int64)
    inputs[labels == 1] += rng.normal(0, 0.12, (labels.sum(), 8))
    # The fake engine has a ReLU between layers: the code and its negative, side by side.
    return (np.hstack([basis, -basis]), np.vstack([basis.T, -basis.T])), inputs, labels


def test_reconstruction_needs_no_labels(compare):
    weights, inputs, _ = autoencoder()
    run = compare(weights, inputs, None)
    assert run.task == "reconstruction"
    errors = answers(compare, TENSOR)
    assert errors.shape == (COUNT, 2)
    assert run.row(TENSOR).metric.value == pytest.approx(errors[:, 0].mean())
    assert {metric.name for metric in run.row(TENSOR).metrics} == {"rmse"}
    assert "accura" not in compare.told.lower()


def test_a_guess_is_settled_by_what_the_float_model_gives_and_told(compare):
    """An output of the input's shape that is not the input again: the margin, too, is that of the other task."""
    rng = np.random.default_rng(0)
    weight, inputs = rng.normal(size=(6, 6)), rng.normal(size=(2 * COUNT, 6))
    run = compare([weight], inputs, None)
    assert (run.task, run.request.margin) == ("deviation", "5%")
    assert run.row(TENSOR).metric.name == "deviation"
    guessed = next(note for note in run.data.notes if "the task is taken to be" in note)
    assert (
        "deviation, because there are no labels, and the output has the input's shape but does not reproduce" in guessed
    )
    assert guessed.endswith("--task overrides it")
    assert "the output has the input's shape but does not reproduce it" in compare.told


def test_labels_of_minus_1_and_1_beside_one_score(compare):
    rng = np.random.default_rng(0)
    weight, inputs = rng.normal(size=(6, 1)), rng.normal(size=(2 * COUNT, 6))
    labels = np.where(inputs @ weight > 0.2, 1, -1)[:, 0]
    encoded = encode({"": labels})
    run = compare([weight], inputs, encoded.labels[""], encoded.classes)
    assert run.task == "classification"
    scores = stores.outputs(compare.directory.build(FLOAT))[0][:, 0]
    right = (np.where(scores > 0, 1, -1) == labels[COUNT:]).sum()
    assert run.row(FLOAT).accuracy.correct == right
    assert list(run.row(FLOAT).accuracy.per_class) == ["-1", "1"]


def test_a_binary_mask_is_judged_by_its_right_positions(compare):
    rng = np.random.default_rng(0)
    weight, inputs = rng.normal(size=(6, 8)), rng.normal(size=(2 * COUNT, 6))
    labels = ((inputs @ weight + rng.normal(0, 1, (2 * COUNT, 8))) > 0).astype(np.int64)
    run = compare([weight], inputs, labels, judging=Judging(task="segmentation"))
    found = stores.outputs(compare.directory.build(TENSOR))[0] > 0
    row, mask = run.row(TENSOR), labels[COUNT:] == 1
    assert row.metric.name == "position_accuracy"
    assert row.metric.value == pytest.approx((found == mask).mean())
    [overlap] = row.metrics
    assert overlap.value == pytest.approx((found & mask).sum() / (found | mask).sum())
    assert "position accuracy" in compare.told
    assert "top-1" not in compare.told
    assert "IoU" in compare.told


def test_anomalies_are_what_is_reconstructed_badly(compare):
    weights, inputs, labels = autoencoder()
    run = compare(weights, inputs, labels)
    assert (run.task, run.request.margin) == ("anomaly", "1%")
    error = answers(compare, TENSOR)[:, 1]
    assert run.row(TENSOR).metric.value == pytest.approx(sklearn.roc_auc_score(labels[COUNT:], error))
    assert run.row(TENSOR).metric.higher_is_better
    assert "AUC: higher is better" in compare.told
    assert "accura" not in compare.told.lower()


def test_several_labels(compare):
    rng = np.random.default_rng(0)
    weight, inputs = rng.normal(size=(6, 4)), rng.normal(size=(2 * COUNT, 6))
    labels = ((inputs @ weight + rng.normal(0, 1.5, (2 * COUNT, 4))) > 0).astype(np.int8)
    run = compare([weight], inputs, labels, classes=("red", "big", "old", "new"))
    assert run.task == "multilabel"
    found = answers(compare, TENSOR)
    expected = sklearn.roc_auc_score(labels[COUNT:], found, average="macro")
    assert run.row(TENSOR).metric.value == pytest.approx(expected)
    further = {metric.name: metric.value for metric in run.row(TENSOR).metrics}
    # The scores are no probabilities, so 0 tells labels apart.
    assert further["macro_f1"] == pytest.approx(sklearn.f1_score(labels[COUNT:], found > 0, average="macro"))
    assert further["exact_match"] == pytest.approx(sklearn.accuracy_score(labels[COUNT:], found > 0))


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_one_score_tells_two_classes_apart_at_a_threshold_that_the_float_model_shows(compare, threshold):
    rng = np.random.default_rng(0)
    weight, inputs = rng.normal(size=(6, 1)), rng.normal(size=(2 * COUNT, 6))
    if threshold:  # scores from 0 to 1
        weight, inputs = np.abs(weight) / np.abs(weight).sum(), rng.random((2 * COUNT, 6))
    scores = (inputs @ weight)[:, 0]
    labels = (scores + rng.normal(0, scores.std() / 2, 2 * COUNT) > threshold).astype(np.int64)
    run = compare([weight], inputs, labels, classes=("no", "yes"))
    assert run.task == "classification"
    found = stores.outputs(compare.directory.build(TENSOR))[0][:, 0]
    assert run.row(TENSOR).accuracy.correct == int(((found > threshold) == (labels[COUNT:] == 1)).sum())
    [auc] = run.row(TENSOR).metrics
    assert auc.value == pytest.approx(sklearn.roc_auc_score(labels[COUNT:], found))
    assert "AUC" in compare.told


METRIC = """
import numpy as np

def worst(outputs, targets):
    return float(np.quantile(np.abs(outputs[:, 0] - targets), 0.9))

worst.higher_is_better = False
worst.unit = "mm"

def broken(outputs, targets):
    raise ValueError("there is no such thing")
"""


@pytest.fixture
def own_metric(tmp_path, monkeypatch):
    (tmp_path / "own_metric.py").write_text(METRIC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("own_metric", None)


def test_a_metric_of_ones_own(compare, own_metric):
    weight, inputs, labels = regression()
    run = compare([weight], inputs, labels, judging=Judging(metric="own_metric:worst"))
    assert (run.task, run.request.margin) == ("custom", "5%")
    metric = run.row(TENSOR).metric
    expected = np.quantile(np.abs(answers(compare, TENSOR)[:, 0] - labels[COUNT:]), 0.9)
    assert metric.value == pytest.approx(expected)
    assert (metric.name, metric.unit, metric.higher_is_better) == ("worst", "mm", False)
    assert metric.interval[0] < metric.value < metric.interval[1]
    assert len(run.request.judging.metric_sha256) == 64
    assert "worst: lower is better" in compare.told


def test_a_metric_that_fails_is_told_before_anything_is_written(compare, own_metric, tmp_path):
    weight, inputs, labels = regression()
    with pytest.raises(DataError, match=r"own_metric:broken fails on .* ValueError: there is no such thing") as raised:
        compare([weight], inputs, labels, judging=Judging(metric="own_metric:broken"))
    assert f"outputs ({COUNT}, 1) and targets ({COUNT},)" in raised.value.expected
    assert not (tmp_path / "run").exists()


def test_a_least_accuracy_is_refused_where_there_is_none(compare):
    weight, inputs, labels = regression()
    with pytest.raises(RequestError, match="judged by MAE"):
        compare([weight], inputs, labels, min_accuracy=0.9)


def test_calibration_draws_of_a_mean_and_why_not_of_others(compare):
    weight, inputs, labels = regression()
    drawn = "fake:s8s8-per_tensor-minmax+drawn"
    run = compare([weight], inputs, labels, calibration_seeds=3, recipes=(drawn,), margin="50%")
    over = run.row(drawn).over_draws
    assert len({draw.drop for draw in over.draws}) == 3
    assert over.drop == pytest.approx(np.mean([draw.drop for draw in over.draws]))
    assert over.drop_interval[0] < over.drop < over.drop_interval[1]
    assert over.draws[0].correct is None


def test_why_a_metric_has_no_draws(compare):
    weight, inputs, labels = regression()
    drawn = "fake:s8s8-per_tensor-minmax+drawn"
    run = compare(
        [weight], inputs, labels, calibration_seeds=2, recipes=(drawn,), judging=Judging(metric="rmse"), margin="50%"
    )
    assert run.row(drawn).no_over_draws == "the RMSE is no mean over samples"
    assert not (compare.directory.root / "draws").exists()


def test_cross_fit(compare):
    weight, inputs, labels = regression()
    run = compare([weight], inputs, labels, selection="cross-fit")
    assert run.recommendation.id is not None
    assert "rise" in run.recommendation.because[1]
    assert run.recommendation.held_out_interval is not None


def test_a_continued_run_ships_the_names_that_classes_have_now(compare):
    rng = np.random.default_rng(0)
    weight, inputs = rng.normal(size=(6, 3)), rng.normal(size=(2 * COUNT, 6))
    labels = (inputs @ weight).argmax(axis=1)
    seconds = []
    for names in (("cat", "dog", "fish"), ("cat", "dog", "fish"), ("dog", "cat", "fish")):
        run = compare([weight], inputs, labels, names, margin="50%")
        row = next(row for row in run.rows if row.kind == "quantized" and row.status == "ok")
        assert open_build(compare.directory.build(row.id)).interface.classes == names
        assert list(row.accuracy.per_class) == list(names)
        seconds.append(row.seconds)
    assert seconds[0] == seconds[1] != seconds[2]  # the same names: the same row


def test_a_build_whose_scores_died_beside_boxes_is_flagged_and_never_recommended(compare):
    """One scale for the whole tensor leaves nothing of numbers from 0 to 1 beside numbers up to 640."""
    rng = np.random.default_rng(0)
    weight = np.abs(rng.normal(size=(8, 5))) * [640, 640, 640, 640, 1]
    run = compare([weight], rng.random((2 * COUNT, 8)), None, judging=Judging(task="deviation"), flag_drop=100)
    row = run.row(TENSOR)
    assert [flag.code for flag in row.flags] == ["dead_channel"]
    told = "output (channel 4 of 5 on axis 1) is constant in this build but varies in the float32"
    assert row.flags[0].text == told
    assert row.metric.of == "output, channel 4 of 5 on axis 1"
    found, own = answers(compare, TENSOR)[:, 4], answers(compare, FLOAT)[:, 4]
    assert row.metric.value == pytest.approx(np.sqrt(np.square(found - own).mean() / np.square(own).mean()), rel=1e-3)
    assert row.versus_baseline.noninferior is None
    assert row.id not in (run.recommendation.id, *run.recommendation.by_use.values())
    assert "channel 4 of 5 on axis 1" in compare.told
    assert run.row(CHANNEL).flags == []
