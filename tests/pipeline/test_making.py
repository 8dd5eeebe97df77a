"""The file that a run starts from, made in this process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.errors import DataError, OutputError
from bitpick.models.model import Signature, Tensor
from bitpick.models.source import Kind, Maker, Source
from bitpick.pipeline import making
from bitpick.pipeline.request import make_request
from bitpick.pipeline.running import Runner
from tests.recording import RecordingExecutor


class Code:
    """A model's code: `says` is what it makes."""

    says: ClassVar[str] = "one"


def write(out: str, inputs: str | None = None, names: list[str] | None = None) -> dict[str, object]:
    """A maker: writes what the code says, and what the samples are that it got."""
    seen = []
    if inputs is not None:
        with np.load(inputs) as arrays:
            seen = [f"{arrays[each].shape} {arrays[each].dtype}" for each in arrays.files]
    Path(out).write_text(f"{Code.says}; {seen}; {names}")
    return {"digest": Code.says, "notes": [f"it says {Code.says}"]}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Make the file of a source by `write`."""
    monkeypatch.setattr(Code, "says", "one")
    monkeypatch.setattr(Source, "sha256", lambda self: "0" * 64)

    def run(load=None, kind=Kind.PROGRAM, needs_samples=False, **fields):
        maker = Maker("env", f"{__name__}:write", {}, needs_samples, **fields)
        monkeypatch.setattr(Source, "maker", lambda self: maker)
        monkeypatch.setattr(Source, "kind", lambda self: kind)
        runner = Runner(RecordingExecutor(), None, tmp_path)
        return making.make(Source("nets:build", trusted=True), tmp_path / "run" / "forms" / "m.pt2", runner, load)

    return run


def refused(_):
    raise DataError("there are no samples")


def test_a_file_that_conversions_read_is_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    monkeypatch.chdir(tmp_path)
    runner = Runner(RecordingExecutor(), None, tmp_path)
    out = tmp_path / "run" / "forms" / "litert.tflite"
    assert making.make(Source("m.tflite"), out, runner, refused) == (tmp_path / "m.tflite", [])
    assert making.place(Source("m.tflite"), out) == tmp_path / "m.tflite"
    assert not out.parent.exists()


def test_a_model_in_half_precision_is_made_in_float32_and_that_is_told(tmp_path, dataset):
    weight = np.random.default_rng(0).normal(size=(48, 4)).astype(np.float16)
    nodes = [helper.make_node("Flatten", ["image"], ["x"]), helper.make_node("MatMul", ["x", "w"], ["scores"])]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape)]
        for name, shape in (("image", ["n", 4, 4, 3]), ("scores", ["n", 4]))
    ]
    graph = helper.make_graph(nodes, "half", *ends, [onnx.numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "h.onnx")
    runner, out = Runner(RecordingExecutor(), None, tmp_path), tmp_path / "forms" / "raw_onnx.onnx"
    path, notes = making.make(Source(str(tmp_path / "h.onnx")), out, runner, lambda _: dataset)
    assert path == out == making.place(Source(str(tmp_path / "h.onnx")), out)
    assert onnx.load(path).graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert notes[0] == "h.onnx stores numbers in float16: it is read as float32, like the baselines"


def test_samples_come_in_the_order_of_what_the_model_takes_and_whole_numbers_as_int64(make, dataset, tmp_path):
    np.save(tmp_path / "tokens.npy", np.zeros((400, 5), np.int32))
    both = {**dataset.calibration.paths, "tokens": tmp_path / "tokens.npy"}
    data = dataset.__class__("tiny", (), dataset.calibration.__class__(both, None, "x"), dataset.evaluation)
    taken = Signature((Tensor("tokens", (5,), "int64"), Tensor("image", (4, 4, 3))), ())
    path, notes = make(lambda _: data, needs_samples=True, signature=taken)
    assert path.read_text() == "one; ['(4, 5) int64', '(4, 4, 4, 3) float32']; None"
    assert notes == ["it says one"]
    path, _ = make(lambda _: data, needs_samples=True, describes=True)
    assert path.read_text() == "one; ['(4, 4, 4, 3) float32', '(4, 5) int64']; ['image', 'tokens']"


def test_samples_that_cannot_be_read_matter_to_models_that_say_nothing_of_themselves_alone(make):
    with pytest.raises(DataError, match="there are no samples"):
        make(refused, needs_samples=True)
    assert make(refused, needs_samples=True, describes=True)[0].read_text() == "one; []; None"
    taken = Signature((Tensor("image", (4, 4, 3)),), ())
    assert make(refused, needs_samples=True, signature=taken)[0].read_text() == "one; []; None"


def test_samples_of_another_number_of_inputs_are_left_out(make, dataset):
    taken = Signature((Tensor("a", (2,)), Tensor("b", (2,))), ())
    assert make(lambda _: dataset, needs_samples=True, signature=taken)[0].read_text() == "one; []; None"


@pytest.mark.parametrize("kind", [Kind.FACTORY, Kind.PICKLE])
def test_code_that_makes_another_model_than_before_is_refused_and_nothing_is_lost(make, kind):
    path, _ = make(kind=kind)
    assert make(kind=kind)[0] == path
    Code.says = "two"
    with pytest.raises(OutputError, match="the model nets:build is not what it was when the run in") as raised:
        make(kind=kind)
    assert "--overwrite" in raised.value.fix
    assert path.read_text() == "one; []; None"
    assert sorted(each.name for each in path.parent.iterdir()) == ["m.pt2", "m.pt2.sha256"]


def test_a_file_that_its_source_alone_decides_is_made_anew(make):
    path, _ = make()
    Code.says = "two"
    assert make()[0].read_text() == "two; []; None"
    assert path.with_name("m.pt2.sha256").read_text() == "two"


def test_what_a_file_is_called_by_says_its_source_and_its_meaning(make, monkeypatch):
    names = {}
    monkeypatch.setattr(Runner, "name", lambda self, path, what: names.update({path: what}))
    path, _ = make(kind=Kind.FACTORY)
    assert names[path] == f"{'0' * 64} one"


def test_the_model_of_a_request_is_the_one_that_was_asked_for(model_file):
    request, _ = make_request(model_file, "tiny")
    assert making.source_of(request).path == model_file
    assert making.source_of(request).state_dict is None
    named = request.model_copy(update={"state_dict": "w.pt", "keras_builder": "nets:build"})
    found = making.source_of(named)
    assert (found.state_dict, found.keras_builder, found.trusted) == (Path("w.pt"), "nets:build", True)
