"""Jobs that are run once: what they give is taken from the store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bitpick.artifacts.store import Store
from bitpick.datasets.activations import Activations
from bitpick.datasets.dataset import Samples
from bitpick.errors import EngineError, Unsupported
from bitpick.executors.inline import InlineExecutor
from bitpick.pipeline.job import Job
from bitpick.pipeline.running import Runner, needed
from bitpick.preprocessing import Preprocessing
from bitpick.tasks.classification import Classification

RAN: list[str] = []


def write(out: str, text: str, source: str | None = None, folder: bool = False, **_: object) -> str:
    """A job: a file, or a folder of two; `fails` and `cannot` raise."""
    RAN.append(text)
    if text == "fails":
        raise EngineError("it broke")
    if text == "cannot":
        raise Unsupported("there is no such thing")
    content = text if source is None else text + Path(source).read_text()
    path = Path(out)
    if folder:
        path.mkdir()
        (path / "a").write_text(content)
        (path / "b").write_text("b")
    else:
        path.write_text(content)
        path.with_name(f"{path.name}.data").write_text("beside it")
    return f"made {text}"


@pytest.fixture
def store(tmp_path) -> Store:
    RAN.clear()
    return Store(tmp_path / "store", 10**9)


@pytest.fixture
def runner(store, tmp_path) -> Runner:
    return Runner(InlineExecutor(), store, tmp_path)


def job(out: Path, text: str = "x", needs=(), wanted=True, **payload) -> Job:
    fields = {"out": out, "text": text, **payload}
    return Job(str(out), "a", __name__, "write", fields, ("out",), needs=needs, wanted=wanted)


def test_what_a_job_gives_is_taken_from_the_store(runner, store, tmp_path):
    first = runner.run(job(tmp_path / "one" / "f"))
    again = Runner(InlineExecutor(), store, tmp_path).run(job(tmp_path / "two" / "f"))
    assert RAN == ["x"]
    assert again == first
    assert first.value == "made x"
    for place in ("one", "two"):
        assert {path.name: path.read_text() for path in (tmp_path / place).iterdir()} == {
            "f": "x",
            "f.data": "beside it",
        }


def test_under_another_name_it_is_the_same(runner, tmp_path):
    runner.run(job(tmp_path / "f"))
    runner.run(job(tmp_path / "g"))
    assert RAN == ["x"]
    assert (tmp_path / "g").read_text() == "x"


def test_a_folder_that_was_changed_is_what_it_was_again(runner, tmp_path):
    runner.run(job(tmp_path / "f", folder=True))
    (tmp_path / "f" / "a").write_text("changed")
    (tmp_path / "f" / "mine").write_text("kept while the rest is as it was")
    runner.run(job(tmp_path / "f", folder=True))
    assert (tmp_path / "f" / "a").read_text() == "x"
    (tmp_path / "f" / "mine").write_text("kept while the rest is as it was")
    runner.run(job(tmp_path / "f", folder=True))
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["a", "b", "mine"]
    assert RAN == ["x"]


def test_a_failure_is_tried_again_and_what_cannot_be_done_is_not(runner, tmp_path):
    for text, kind in (("fails", EngineError), ("cannot", Unsupported)):
        for _ in range(2):
            with pytest.raises(kind):
                runner.run(job(tmp_path / "f", text))
    assert RAN == ["fails", "fails", "cannot"]
    assert not (tmp_path / "f").exists()


def test_a_job_that_is_not_kept_is_run_again(runner, tmp_path):
    each = Job("a", "a", __name__, "write", {"out": tmp_path / "f", "text": "x"}, ("out",), kept=False)
    runner.run(each)
    runner.run(each)
    assert RAN == ["x", "x"]


def test_a_store_that_cannot_keep_it_costs_nothing_else(tmp_path):
    RAN.clear()
    (tmp_path / "file").write_text("")
    for store in (None, Store(tmp_path / "small", 10), Store(tmp_path / "file" / "store", 10**9)):
        runner = Runner(InlineExecutor(), store, tmp_path / "run")
        assert runner.run(job(tmp_path / "run" / "f")).value == "made x"
        assert (tmp_path / "run" / "f").read_text() == "x"
    assert RAN == ["x", "x", "x"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["f", "f.data"]


def test_a_key_is_of_what_made_a_file_and_not_of_where_it_is(store, tmp_path):
    for place in ("one", "two"):
        runner = Runner(InlineExecutor(), store, tmp_path)
        runner.run(job(tmp_path / place / "f"))
        runner.run(job(tmp_path / place / "g", "y", source=tmp_path / place / "f"))
    assert RAN == ["x", "y"]
    runner.run(job(tmp_path / "f", "z"))
    runner.run(job(tmp_path / "g", "y", source=tmp_path / "f"))
    assert RAN == ["x", "y", "z", "y"]


def test_a_file_that_no_job_made_is_its_content(runner, tmp_path):
    (tmp_path / "mine").write_text("a")
    runner.run(job(tmp_path / "f", source=tmp_path / "mine"))
    (tmp_path / "copy").write_text("a")
    runner.run(job(tmp_path / "f", source=tmp_path / "copy"))
    assert len(RAN) == 1
    (tmp_path / "mine").write_text("b")
    runner.run(job(tmp_path / "f", source=tmp_path / "mine"))
    assert len(RAN) == 2
    assert (tmp_path / "f").read_text() == "xb"


def test_what_makes_a_difference_has_another_key(runner, tmp_path, monkeypatch):
    from bitpick.pipeline import running

    each = job(tmp_path / "f")
    key = runner.key(each)
    assert runner.key(job(tmp_path / "g")) == key
    others = [job(tmp_path / "f", "y"), job(tmp_path / "f", more=1), Job("a", "b", *vars_of(each))]
    assert len({key, *map(runner.key, others)}) == 4
    for name, value in (("revision", lambda: "other code"), ("_libraries", lambda _: ["numpy 1.0"])):
        with monkeypatch.context() as patch:
            patch.setattr(running, name, value)
            assert runner.key(each) != key


def vars_of(each: Job) -> tuple:
    return each.module, each.function, each.payload, each.makes


def samples(tmp_path, **fields) -> Samples:
    tmp_path.mkdir(exist_ok=True)
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    return Samples(**({"inputs": (tmp_path / "x.npy",), "count": 4, "sha256": "0"} | fields))


def test_samples_are_their_digest_and_what_is_done_to_them(runner, tmp_path):
    def key(each):
        return runner.key(job(tmp_path / "f", samples=each))

    first = key(samples(tmp_path))
    assert key(samples(tmp_path / "elsewhere")) == first
    changes = [
        {"count": 3}, {"sha256": "1"}, {"preprocessing": (Preprocessing(scale=2.0),)}, {"values": (1,)},
        {"activations": Activations(peak=1, total=1)}, {"labels": tmp_path / "y.npy"},
    ]  # fmt: skip
    assert len({first, *(key(samples(tmp_path, **change)) for change in changes)}) == len(changes) + 1
    runner.name(tmp_path / "y.npy", "answers of this model")
    named = key(samples(tmp_path, labels=tmp_path / "y.npy"))
    runner.name(tmp_path / "y.npy", "answers of that model")
    assert key(samples(tmp_path, labels=tmp_path / "y.npy")) != named


def test_a_task_is_its_fields(runner, tmp_path):
    tasks = [Classification(classes=("a", "b")), Classification(classes=("b", "a"))]
    keys = [runner.key(job(tmp_path / "f", task=task)) for task in tasks]
    assert keys[0] != keys[1]
    assert json.dumps(keys)


def test_only_what_is_read_and_not_known_is_needed(runner, tmp_path):
    one = job(tmp_path / "one", wanted=False)
    two = job(tmp_path / "two", "y", (one.id,), source=tmp_path / "one")
    assert needed([one, two], runner) == [one, two]
    runner.run(one)
    runner.run(two)
    assert needed([one, two], runner) == [two]
