from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bitpick.datasets.dataset import Dataset, Split
from bitpick.errors import DataError, ModelError
from bitpick.models.interface import Interface
from bitpick.models.model import Signature, Tensor
from bitpick.pipeline import fit
from bitpick.schema.judging import Judging

SCORES = Tensor("scores", (3,))


@pytest.fixture
def made(tmp_path):
    """A data set of 30 samples with such inputs, and labels of three classes."""

    def make(labels=True, **shapes) -> Dataset:
        paths = {name: tmp_path / f"{name}.npy" for name in shapes}
        for name, (shape, dtype) in shapes.items():
            np.save(paths[name], np.ones((30, *shape), dtype))
        np.save(tmp_path / "labels.npy", np.arange(30) % 3)
        split = Split(paths, tmp_path / "labels.npy" if labels else None, "x")
        return Dataset("mine", ("a", "b", "c"), split, split)

    return make


def fitted(dataset, *inputs, outputs=(SCORES,)):
    return fit.fitted(lambda _: dataset, Signature(inputs, outputs), "m.onnx")


def test_inputs_come_in_the_models_order_by_their_names(made):
    dataset = made(b=((2,), "float32"), a=((4,), "float32"))
    found = fitted(dataset, Tensor("a", (4,)), Tensor("b", (2,)))
    assert found.names == ("a", "b")
    assert [array.shape for array in next(found.evaluation.batches(5))] == [(5, 4), (5, 2)]


def test_where_names_tell_nothing_they_keep_their_own_order(made):
    found = fitted(made(x=((4,), "uint8"), y=((2,), "uint8")), Tensor("in_0", (4,)), Tensor("in_1", (2,)))
    assert found.names == ("x", "y")


@pytest.mark.parametrize("dtype", ["float32", "int64", "int32", "uint8", "bool", "float16"])
def test_samples_are_handed_over_in_the_dtype_that_the_model_takes(made, dtype):
    found = fitted(made(x=((4,), "int16")), Tensor("x", (4,), dtype))
    (batch,) = next(found.evaluation.batches(2))
    assert batch.dtype == dtype


def test_a_dtype_that_no_samples_have_is_refused(made):
    with pytest.raises(ModelError, match=r"the input x of the model m\.onnx is object"):
        fitted(made(x=((4,), "int16")), Tensor("x", (4,), "object"))


def test_an_input_that_is_not_there_is_named(made):
    with pytest.raises(DataError, match=r"takes 2 inputs \(a, b\), and mine has 1 \(x\)"):
        fitted(made(x=((4,), "uint8")), Tensor("a", (4,)), Tensor("b", (2,)))


def test_samples_of_another_shape_are_refused_with_both_shapes(made):
    with pytest.raises(DataError, match=r"takes x \(batch, 5, any\) float32, and the samples have shape \(4, 2\)"):
        fitted(made(x=((4, 2), "uint8")), Tensor("x", (5, None)))
    assert fitted(made(x=((4, 2), "uint8")), Tensor("x", (4, None))).names == ("x",)
    assert fitted(made(x=((4, 2), "uint8")), Tensor("x", None)).names == ("x",)


def test_channels_in_the_wrong_place_are_said_to_be(made):
    with pytest.raises(DataError) as error:
        fitted(made(x=((8, 8, 3), "uint8")), Tensor("x", (3, 8, 8)))
    assert "--layout channels-first" in error.value.fix


def test_without_labels_the_question_is_agreement(made):
    assert fitted(made(x=((4,), "uint8")), Tensor("x", (4,))).task.kind == "classification"
    assert fitted(made(labels=False, x=((4,), "uint8")), Tensor("x", (4,))).task.kind == "agreement"


def test_labels_of_minus_1_and_1_are_classes_and_are_values_for_a_metric_of_values(made, tmp_path):
    ends = Signature((Tensor("x", (4,)),), (Tensor("score", (1,)),))
    dataset = replace(made(x=((4,), "uint8")), classes=("-1", "1"), values=(-1, 1))
    np.save(tmp_path / "labels.npy", np.arange(30) % 2)
    found = fit.fitted(lambda _: dataset, ends, "m.onnx")
    assert (found.task.kind, found.task.classes) == ("classification", ("-1", "1"))
    assert set(found.evaluation.targets()) == {0, 1}
    found = fit.fitted(lambda _: dataset, ends, "m.onnx", Judging(metric="mae"))
    assert found.task.kind == "regression"
    assert found.evaluation.targets()[:4].tolist() == [-1, 1, -1, 1]
    assert found.calibration.targets()[:4].tolist() == [-1, 1, -1, 1]


@pytest.mark.parametrize("task", ["deviation", "agreement"])
def test_a_task_without_labels_leaves_those_that_there_are_and_says_so(made, task):
    """Otherwise labels would stand where the float model's answers belong."""
    ends = Signature((Tensor("x", (4,)),), (SCORES,))
    found = fit.fitted(lambda _: made(x=((4,), "uint8")), ends, "m.onnx", Judging(task=task))
    assert found.task.kind == task
    assert found.evaluation.labels is None
    assert f"the labels are not used: the task {task}" in found.dataset.notes[-1]


def test_what_is_only_guessed_is_settled_by_what_the_float_model_gives(made, tmp_path):
    ends = Signature((Tensor("x", (4,)),), (Tensor("y", (4,)),))
    dataset = made(labels=False, x=((4,), "float32"))
    inputs = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    np.save(dataset.evaluation.paths["x"], inputs)
    found = fit.fitted(lambda _: dataset, ends, "m.onnx")
    assert found.unsettled
    assert found.settled(found.evaluation, (inputs,)).task.kind == "reconstruction"
    other = found.settled(found.evaluation, (np.tanh(-inputs),))
    assert other.task.kind == "deviation"
    assert len(other.notes) == 2
    assert "does not reproduce it" in other.notes[0]


def test_the_output_with_scores_is_found_among_several(made):
    found = fitted(made(x=((4,), "uint8")), Tensor("x", (4,)), outputs=(Tensor("mask", (8, 8)), SCORES))
    assert found.task.output == 1


def test_what_a_deployer_must_know_survives_a_file(made):
    found = fitted(made(x=((4,), "uint8")), Tensor("x", (4,)))
    told = fit.interface(Signature((Tensor("x", (4,)),), (SCORES,)), found.evaluation, found.task)
    assert Interface.model_validate_json(told.model_dump_json(exclude_defaults=True)) == told
    assert told.signature == Signature((Tensor("x", (4,)),), (SCORES,))
    assert (told.task, told.classes) == ("classification", ("a", "b", "c"))
    assert (told.inputs[0].stored, told.inputs[0].stored_shape) == ("uint8", (4,))
