"""All that comes before any build, in this process."""

from __future__ import annotations

import numpy as np
import pytest

from bitpick.datasets.dataset import Dataset
from bitpick.errors import ModelError, RecipeError
from bitpick.models.model import Format
from bitpick.pipeline.prepare import Preparation
from tests.conftest import linear_model
from tests.recording import RecordingExecutor


def test_a_run_knows_its_model_its_data_and_its_samples_before_any_build(prepared):
    run = prepared(target_samples=150)
    record, inputs = run.shop.run, run.inputs
    assert (record.model.parameters, record.model.macs) == (run.model.parameters, run.model.macs) == (196, 192)
    assert (run.model.source, run.model.format) == (run.shop.directory.form(Format.RAW_ONNX), Format.RAW_ONNX)
    assert [(hop.name, hop.passed) for hop in record.model.hops] == [("raw_onnx → onnx", True)]
    assert set(record.model.forms) == {"onnx"}
    assert record.task == inputs.task.kind == "classification"
    assert record.request.margin == "1%"  # the task's own
    assert (inputs.calibration.count, inputs.evaluation.count, inputs.check.count) == (50, 600, 150)
    assert len(inputs.check_places) == 150
    assert (inputs.check.targets() == inputs.evaluation.targets()[inputs.check_places]).all()
    assert record.data.calibration.count == 50
    assert inputs.evaluation.activations is not None
    assert run.shop.directory.settled
    assert run.listener.phases[:3] == ["reading the model", "loading the data set", "converting the model"]
    assert not [job for job in run.executor.ran if job.startswith("build")]


def test_the_draw_is_another_one_with_another_seed(prepared):
    draws = [prepared(out=f"run {seed}", seed=seed).inputs.calibration for seed in (1, 1, 2)]
    indices = [np.load(each.indices).tolist() for each in draws]
    assert indices[0] == indices[1] != indices[2]


def test_what_only_task_and_model_tell_is_refused_before_the_run_stays(new_shop, dataset):
    shop = new_shop()

    def check(task, model):
        assert (task.kind, model.macs) == ("classification", 192)
        raise RecipeError("there is no such build")

    with pytest.raises(RecipeError, match="there is no such build"):
        Preparation(shop).prepare(lambda _: dataset, check)
    assert not shop.directory.settled


def test_a_model_that_is_replaced_while_it_is_read_is_refused(new_shop, dataset, model_file):
    other = RecordingExecutor(after=("is_quantized", lambda: linear_model(model_file, seed=1)))
    with pytest.raises(ModelError, match="changed while it was being read"):
        Preparation(new_shop(executor=other)).prepare(lambda _: dataset)


def test_without_labels_what_the_float_model_answers_stands_in_their_place(prepared, dataset):
    data = dataset.without_labels()
    run = prepared(data=data, targets=("host",))
    assert run.inputs.task.kind == "agreement"
    answers = np.load(run.shop.directory.reference_answers)
    assert run.inputs.evaluation.labels == run.shop.directory.reference_answers
    assert (run.inputs.evaluation.targets() == answers).all()
    assert (run.inputs.check.targets() == answers[run.inputs.check_places]).all()
    agreed = (answers == np.asarray(dataset.evaluation.labels)).mean()
    assert agreed > 0.85  # the labels are mostly what the model says
    assert any(note.startswith("no labels: builds are compared with") for note in run.listener.notes)


def test_a_task_that_the_labels_do_not_settle_is_settled_by_what_the_float_model_gives(prepared, dataset, tmp_path):
    one = linear_model(tmp_path / "one.onnx", classes=1)
    labels = dataset.evaluation.labels_path, dataset.calibration.labels_path
    for path in labels:
        np.save(path, (np.load(path) > 1).astype(np.uint8))
    data = Dataset("tiny", ("no", "yes"), dataset.calibration, dataset.evaluation)
    run = prepared(data=data, model=one, accept_baseline=True)
    assert "running the float model" in run.listener.phases
    assert run.shop.directory.reference_outputs.exists()
    assert run.inputs.task.kind == "classification"
