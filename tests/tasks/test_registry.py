from __future__ import annotations

import re

import numpy as np
import pytest
from pydantic import TypeAdapter

from bitpick.errors import DataError, ModelError, RequestError
from bitpick.models.model import Signature, Tensor
from bitpick.schema.judging import Judging
from bitpick.tasks.case import Case
from bitpick.tasks.registry import METRICS, AnyTask, checked, choose


def made(outputs, labels, classes=(), inputs=((8, 8, 3),), dtype="float32", **judging):
    ends = Signature(
        tuple(Tensor(f"in{i}", shape) for i, shape in enumerate(inputs)),
        tuple(Tensor(f"out{i}", shape, dtype) for i, shape in enumerate(outputs)),
    )
    return choose(Case(ends, classes, labels, "m.onnx", Judging(**judging))).task


WHOLE = np.array([0, 1, 2, 3] * 10)
BITS = np.array([0, 1] * 20)
FLOATS = np.linspace(0.5, 9.5, 40).astype(np.float32)
MANY = np.random.default_rng(0).integers(0, 2, (40, 4))
VALUES = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("outputs", "labels", "kind", "more"),
    [
        ([(4,)], WHOLE, "classification", {"classes": tuple("abcd")}),
        ([(4,)], WHOLE, "classification", {}),
        ([(4,)], WHOLE, "regression", {"metric": "mae", "task": None, "outputs": [(1,)]}),
        ([(1,)], BITS, "classification", {"classes": ("no", "yes")}),
        ([()], BITS, "classification", {}),
        ([(1,)], BITS, "regression", {"task": "regression"}),
        ([(1,)], BITS, "regression", {"metric": "rmse"}),
        ([(1,)], WHOLE, "regression", {}),
        ([(1,)], FLOATS, "regression", {}),
        ([()], FLOATS, "regression", {}),
        ([(4,)], VALUES, "regression", {}),
        ([(4,)], MANY, "multilabel", {}),
        ([(4,)], MANY, "regression", {"metric": "mae"}),
        ([(8, 8)], np.zeros((40, 8, 8)), "segmentation", {}),
        ([(8, 8)], np.full((40, 8, 8), 0.5), "regression", {}),
        ([(8, 8)], np.zeros((40, 8, 8)), "regression", {"metric": "mae"}),
        ([(5, 8, 8)], np.zeros((40, 8, 8), np.int64), "segmentation", {}),
        ([(6, 5)], np.zeros((40, 6), np.int64), "segmentation", {"metric": "iou"}),
        ([(8, 8, 3)], None, "reconstruction", {}),
        ([(8, 8, 3)], BITS, "anomaly", {}),
        ([(8, 8, 3)], BITS, "anomaly", {"metric": "auc"}),
        ([(4,)], None, "agreement", {}),
        ([(4,)], None, "deviation", {"task": "deviation"}),
        ([(1,)], None, "deviation", {}),
        ([(1,)], None, "agreement", {"task": "agreement"}),
        ([(4,), (2,)], None, "deviation", {}),
        ([(2,), (4,)], None, "agreement", {"classes": tuple("abcd")}),
        ([(None, 4)], None, "deviation", {}),
        ([(4, 1, 1)], WHOLE, "classification", {"classes": tuple("abcd")}),
        ([(1, 4)], WHOLE, "classification", {"classes": tuple("abcd")}),
        ([(1, 1, 1)], BITS, "classification", {"classes": ("-1", "1")}),
        ([(4, 1)], None, "agreement", {}),
        ([(4, 1)], VALUES, "regression", {}),
        ([(4,)], VALUES[:, :, None], "regression", {}),
        ([(1, 4)], MANY, "multilabel", {}),
        ([(4, 1, 1)], MANY, "multilabel", {}),
        ([(4, 1)], MANY, "segmentation", {}),
        ([(4, 1)], MANY, "multilabel", {"task": "multilabel"}),
    ],
)
def test_shapes_and_labels_make_the_task(outputs, labels, kind, more):
    more = dict(more)
    task = made(more.pop("outputs", outputs), labels, **more)
    assert task.kind == kind
    assert TypeAdapter(AnyTask).validate_json(task.model_dump_json()) == task
    if kind in METRICS:
        assert task.measure.name == more.get("metric") or task.measure.name == METRICS[kind][0]


def test_the_output_that_the_labels_are_about():
    assert made([(7,), (4,)], WHOLE, tuple("abcd")).output == 1
    assert made([(7,), (4,)], MANY).output == 1
    assert made([(7,), (1,)], FLOATS).output == 1
    mirrored = made([(4,), (8, 8, 3)], None, inputs=((2,), (8, 8, 3)), task="reconstruction")
    assert (mirrored.output, mirrored.input) == (1, 1)


def test_what_was_guessed_is_told_and_what_was_asked_for_is_not():
    ends = Signature((Tensor("x", (4,)),), (Tensor("y", (4,)),))
    told = choose(Case(ends, (), WHOLE, "m.onnx", Judging()))
    assert told.note.startswith("the task is taken to be classification, because the labels are classes")
    assert told.note.endswith("; --task overrides it")
    assert choose(Case(ends, (), WHOLE, "m.onnx", Judging(task="classification"))).note == ""


def test_labels_of_no_class_count_for_nothing_or_are_refused():
    maps = np.zeros((40, 8, 8), np.int64)
    for value in (255, -100, -1):
        maps[3, 2, 1] = value
        assert made([(5, 8, 8)], maps).ignored == value
    maps[3, 2, 2] = 7
    with pytest.raises(DataError, match=r"the labels have the value -1.* 0 to 4"):
        made([(5, 8, 8)], maps)


def test_anomalies_are_not_guessed_of_minus_1_and_1():
    with pytest.raises(DataError, match="either could mean an anomaly"):
        made([(8, 8, 3)], BITS, ("-1", "1"), task="anomaly")


def test_what_tells_two_classes_apart_by_one_score_is_not_known_yet():
    task = made([(1,)], BITS)
    assert task.unsettled
    assert task.settled((np.array([[0.1], [0.9]], np.float32),), None).threshold == 0.5
    assert task.settled((np.array([[-0.1], [0.9]], np.float32),), None).threshold == 0
    assert not made([(4,)], WHOLE).unsettled


@pytest.mark.parametrize(
    ("outputs", "labels", "error", "says", "more"),
    [
        ([(4,)], FLOATS, DataError, "labels are numbers such as 0.5.*class numbers, as integers", {}),
        ([(4,)], np.eye(4)[WHOLE], DataError, "one-hot.*argmax", {}),
        ([(4,)], np.zeros((40, 9)), DataError, r"shape \(samples, 9\).*module:function", {}),
        ([(4,)], WHOLE + 1, DataError, "the label 4, outside its 4 classes", {}),
        ([(4,)], WHOLE - 1, DataError, "the label -1, outside", {}),
        ([(4,)], WHOLE, DataError, "gives 4 scores, and the data set has 3 classes", {"classes": tuple("abc")}),
        ([(8, 8, 4)], WHOLE, ModelError, "no score per class", {"classes": tuple("abcd")}),
        ([(1,)], WHOLE, ModelError, "no score per class", {"classes": tuple("abcd"), "task": "classification"}),
        ([(4,)], None, DataError, "the task regression needs labels.*--labels", {"task": "regression"}),
        ([(4,)], None, ModelError, "of the shape of an input", {"task": "reconstruction"}),
        ([(8, 8)], None, ModelError, "no score per class.*--task", {"task": "agreement"}),
        ([(4,)], FLOATS, DataError, "the labels are float32 of shape", {"task": "classification"}),
        ([(4,)], VALUES, DataError, "a 0 or a 1 for each label", {"task": "multilabel"}),
        ([(8, 8, 3)], np.array([0] * 39 + [1]), DataError, "1 of the 40 samples are anomalies", {}),
        ([(4,)], WHOLE, RequestError, "classification, which is not judged by macro_f1", {"metric": "macro_f1"}),
        ([(4,)], None, DataError, "needs labels", {"metric": "math:fsum"}),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told_in_a_sentence(outputs, labels, error, says, more):
    with pytest.raises(error) as caught:
        made(outputs, labels, **more)

    assert re.search(says, caught.value.line), caught.value.line


@pytest.mark.parametrize(
    ("judging", "says"),
    [
        ({"task": "clasification"}, "did you mean classification?"),
        ({"metric": "mea"}, "did you mean mae?"),
        ({"task": "regression", "metric": "accuracy"}, "no metric 'accuracy' of the task regression"),
        ({"metric": "mae", "lower_is_better": True}, "--metric module:function"),
        ({"metric": "no_such_module:f"}, "cannot be imported.*PYTHONPATH"),
        ({"metric": "math:fsun"}, "did you mean fsum?"),
    ],
)
def test_what_was_asked_for_is_checked_before_anything_runs(judging, says):

    with pytest.raises(RequestError) as caught:
        checked(Judging(**judging))
    assert re.search(says, caught.value.line), caught.value.line


def test_options_go_before_what_a_function_says_of_itself():
    def named(**options):
        return made([(4,)], WHOLE, metric="bitpick.statistics:wilson_interval", **options).measure

    assert (named().name, named().unit, named().higher_is_better) == ("wilson_interval", "", True)
    other = named(unit="K", lower_is_better=True)
    assert (other.unit, other.higher_is_better) == ("K", False)


MAP = np.arange(40 * 64).reshape(40, 8, 8) % 5


@pytest.mark.parametrize(
    ("outputs", "labels", "task", "more"),
    [([()], WHOLE, "classification", {"classes": tuple("0123")}), ([(8, 8)], MAP, "segmentation", {})],
)
def test_whole_numbers_on_both_sides_are_classes_or_amounts_and_the_user_says_which(outputs, labels, task, more):
    for dtype in ("int32", "int64"):
        with pytest.raises(DataError, match="whole numbers, and so are the answers") as caught:
            made(outputs, labels, dtype=dtype, **more)
        assert f"--task {task}" in caught.value.fix
        found = made(outputs, labels, dtype=dtype, task=task, **more)
        assert (found.kind, found.numbers) == (task, True)
        assert made(outputs, labels, dtype=dtype, task="regression", **more).kind == "regression"
    assert made(outputs, labels, dtype="float32", **more).kind == "regression"
    assert made(outputs, 1_700_000_000 + labels, dtype="int64").kind == "regression"  # times


def test_numbers_of_classes_with_names_are_no_amounts():
    found = made([()], WHOLE, ("ant", "bee", "cow", "dog"), dtype="int64")
    assert (found.kind, found.numbers) == ("classification", True)


def test_a_map_of_class_numbers_may_have_places_that_count_for_nothing():
    labels = np.where(MAP == 4, 255, MAP)
    found = made([(8, 8)], labels, dtype="int64", task="segmentation")
    assert (found.count, found.ignored) == (4, 255)


def test_scores_beside_numbers_of_classes_tell_that_they_are():
    found = made([(), (4,)], WHOLE, tuple("0123"), dtype="int64")
    assert (found.kind, found.output, found.numbers) == ("classification", 1, False)
    assert made([(8, 8), (5, 8, 8)], MAP, dtype="int64").kind == "segmentation"


def test_of_two_classes_a_number_is_a_score():
    assert not made([()], BITS, ("0", "1"), dtype="int64").numbers


def test_without_labels_numbers_of_classes_agree_or_not():
    assert made([()], None, dtype="int64").numbers  # until the float model shows that they go further
    assert made([(1,)], None, dtype="int64", task="agreement").numbers


@pytest.mark.parametrize(("outputs", "axes"), [([(8, 8)], ()), ([(1, 8, 8)], ()), ([(2, 8, 8)], (1,))])
def test_a_mask_may_write_255_for_its_second_class(outputs, axes):
    found = made(outputs, np.where(MAP > 2, 255, 0))
    assert (found.kind, found.second, found.axes, found.ignored) == ("segmentation", 255, axes, None)
    several = made([(5, 8, 8)], np.where(MAP == 4, 255, MAP))
    assert (several.second, several.ignored) == (1, 255)
