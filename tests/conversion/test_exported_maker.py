from __future__ import annotations

import numpy as np
import pytest

from bitpick.errors import ModelError
from bitpick.models.source import Source
from tests.conversion import format_steps as steps
from tests.conversion.formats import check_clean_graph, source_of, start

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("name", ["traced", "scripted", "function"])
def test_the_clean_graph_computes_what_the_model_does(pool, programs, tmp_path, name):
    check_clean_graph(pool, programs, tmp_path, name)


def make(pool, programs, out, **source):
    payload = {"out": out, "kind": "FACTORY", "inputs": programs / "inputs.npz", **source}
    return pool.run("pytorch", "bitpick.conversion.exported_maker:make", payload).value


def test_the_digest_is_that_of_what_the_program_computes(pool, programs, tmp_path):
    free = {"kind": "PROGRAM", "source": programs / "free.pt2", "inputs": None}
    net = {"source": "format_steps:build_torch", "state_dict": programs / "state.pt"}
    digests = [make(pool, programs, tmp_path / "m.pt2", **each)["digest"] for each in (net, net, free, free)]
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    assert make(pool, programs, tmp_path / "m.pt2", source="format_steps:build_torch")["digest"] not in digests


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("build_counting", "keeps the state of calls from one call to the next"),
        ("build_half", "does not take a batch of shape"),
    ],
)
def test_a_module_that_counts_its_calls_or_is_in_half_precision_is_refused(pool, programs, tmp_path, function, says):
    with pytest.raises(ModelError, match=says):
        make(pool, programs, tmp_path / "m.pt2", source=f"hop_steps:{function}")


def test_weights_of_another_module_are_refused(pool, programs, tmp_path):
    with pytest.raises(ModelError, match=r"state\.pt do not fit the module of hop_steps:build_half"):
        make(pool, programs, tmp_path / "m.pt2", source="hop_steps:build_half", state_dict=programs / "state.pt")


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        (Source("format_steps:weights", True), ModelError, "returns a dict"),
        (Source("format_steps:nothing", True), ModelError, "names no function"),
        (Source("no_such_module:build", True), ModelError, "cannot be imported"),
        (Source("format_steps:run_keras", True), ModelError, "fails"),
    ],
)
def test_functions_that_give_no_module(pool, programs, tmp_path, source, error, says):
    with pytest.raises(error, match=says):
        start(pool, source, programs / "inputs.npz", tmp_path / "made.pt2")


def test_samples_of_another_shape_are_refused(pool, programs, tmp_path):
    np.savez(tmp_path / "first.npz", steps.samples().transpose(0, 3, 1, 2))
    with pytest.raises(ModelError, match="does not take a batch of shape"):
        start(pool, source_of(programs, "function"), tmp_path / "first.npz", tmp_path / "made.pt2")
