from __future__ import annotations

import sys

import numpy as np
import pytest

from bitpick.errors import DataError, RequestError
from bitpick.executors.pool import WorkerPool
from bitpick.tasks import custom
from bitpick.tasks.custom import Custom

SOURCE = """
import numpy as np

def share(outputs, targets):
    return (outputs["first"][:, 0] > targets).mean() + 0 * outputs["second"].sum()

def word(outputs, targets):
    return "much"
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "a_metric_of_mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    custom.load.cache_clear()
    yield tmp_path / "a_metric_of_mine.py"
    sys.modules.pop("a_metric_of_mine", None)
    custom.load.cache_clear()


def test_a_module_in_the_current_folder_and_several_outputs_by_name(module):
    task = Custom(path="a_metric_of_mine:share", outputs=("first", "second"), name="share")
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(80, 2)), rng.normal(size=(80, 3))
    answers = task.answers((), outputs, None)
    found = task.metric(answers, np.zeros(80))
    assert found.value == (outputs[0][:, 0] > 0).mean()
    assert found.interval[0] < found.value < found.interval[1]
    assert task.settled(outputs, np.zeros(80)) is task


def test_a_worker_finds_it_too(module):
    pool = WorkerPool()
    try:
        # Workers start without the current folder on their path.
        found = pool.run("x", "bitpick.tasks.custom:digest", {"path": "a_metric_of_mine:share"}).value
    finally:
        pool.close()
    assert found == custom.digest("a_metric_of_mine:share")


def test_another_function_is_another_request(module):
    before = custom.digest("a_metric_of_mine:share")
    module.write_text(SOURCE + "\n")
    assert custom.digest("a_metric_of_mine:share") != before


def test_what_is_no_number_is_told(module):
    task = Custom(path="a_metric_of_mine:word", outputs=("out",), name="word")
    with pytest.raises(DataError, match="a_metric_of_mine:word fails on 3 samples: ValueError"):
        task.settled((np.zeros((3, 1)),), np.zeros(3))


def test_a_module_that_cannot_be_imported(module):
    for error in ("KeyError", "AttributeError"):
        module.write_text(f"raise {error}('no luck in it')")
        with pytest.raises(RequestError, match=f"cannot be imported: {error}: '?no luck in it"):
            custom.load("a_metric_of_mine:share")
    module.unlink()
    with pytest.raises(RequestError, match="start bitpick in the folder that holds the module"):
        custom.load("another_metric_of_mine:share")
