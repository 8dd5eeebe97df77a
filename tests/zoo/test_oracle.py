"""The oracle sees what is false: each check is shown a run that was spoiled."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from tests.kept import TranslatingExecutor, use_executor
from tests.zoo import models
from tests.zoo.driving import STATIC, compare
from tests.zoo.entry import ENTRIES
from tests.zoo.onnx_files import graph, weights
from tests.zoo.oracle import count, metrics
from tests.zoo.oracle.checks import dead, faults
from tests.zoo.truth import truth

models.load()
ROW = f"builds/{STATIC['onnxruntime'].replace(':', '__')}"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run in which nothing is false, and what is right for it."""
    folder = tmp_path_factory.mktemp("good")
    entry = ENTRIES["plain_cnn"]
    made = entry.make(folder / "model")
    with use_executor(TranslatingExecutor(), folder / "cache"):
        assert compare(made, folder / "run", ["onnxruntime"]) is None
    right = truth(entry, made)
    assert faults(folder / "run", right) == []
    return folder / "run", right


@pytest.fixture
def spoiled(good, tmp_path):
    """A copy of it to spoil."""
    import shutil

    run, right = good
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run", right


def rewrite(run, change):
    record = json.loads((run / "run.json").read_text())
    change(record)
    (run / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda run: run["rows"][1].update(samples=399), "399 samples"),
        (lambda run: run["rows"][1]["metric"].update(value=0.5), "is said to be 0.5"),
        (lambda run: run["rows"][1]["metric"].update(name="mae"), "judged by mae"),
        (lambda run: run["rows"][1]["coverage"].update(macs=0.5), "50.00% is said to"),
        (lambda run: run["model"].update(macs=1), "said to have 1"),
    ],
)
def test_a_false_figure_is_seen(spoiled, change, says):
    run, right = spoiled
    rewrite(run, change)
    assert any(says in each for each in faults(run, right))


def test_answers_of_other_samples_are_seen(spoiled):
    run, right = spoiled
    file = run / ROW / "predictions.npz"
    with np.load(file) as arrays:
        kept = dict(arrays)
    np.savez(file, **{name: np.roll(each, 1, axis=0) for name, each in kept.items()})
    assert any("one by one" in each for each in faults(run, right))


def test_a_channel_that_died_is_seen():
    floats = np.random.default_rng(0).normal(size=(50, 6, 7))
    found = floats.copy()
    found[..., 4] = 0
    assert dead(floats, found) == ["axis 2, 4"]
    assert dead(floats, floats) == []


@pytest.mark.parametrize(
    ("text", "stored", "macs"),
    [
        ("(float[1,3,6,6] x) => (float[1,8,4,4] y) { y = Conv(x, w) }", weights(8, 3, 3, 3), 16 * 8 * 27),
        ("(float[1,4,6,6] x) => (float[1,8,4,4] y) { y = Conv<group=2>(x, w) }", weights(8, 2, 3, 3), 16 * 8 * 18),
        ("(float[1,3,6,6] x) => (float[1,8,8,8] y) { y = ConvTranspose(x, w) }", weights(3, 8, 3, 3), 36 * 3 * 8 * 9),
        ("(float[1,5,6] x) => (float[1,5,7] y) { y = MatMul(x, w) }", weights(6, 7), 5 * 42),
        ("(float[1,6,5] x) => (float[1,7,5] y) { y = MatMul(w, x) }", weights(7, 6), 5 * 42),
        ("(float[1,6] x) => (float[1,7] y) { y = Gemm<transB=1>(x, w) }", weights(7, 6), 42),
        ('(float[1,6] x) => (float[1,7] y) { y = Einsum<equation="bi,ij->bj">(x, w) }', weights(6, 7), 42),
        ("(float[1,6] x) => (float[1,6] y) { y = MatMul(x, t) t = Transpose(w) }", weights(6, 6), 36),
        ("(float[1,6] x) => (float[1,6] y) { y = Relu(x) unused = MatMul(x, w) }", weights(6, 6), 0),
        ("(float[1,6] x) => (float[1,1] y) { t = Transpose(x) y = MatMul(x, t) }", None, 6),
    ],
)
def test_the_count(text, stored, macs):
    model = graph(text, {} if stored is None else {"w": stored}, check=False)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert count.counted(model, {"x": np.ones(shape, np.float32)}).macs == macs


def test_the_metrics_are_those_of_others():
    from sklearn.metrics import mean_absolute_error, roc_auc_score

    random = np.random.default_rng(0)
    scores, labels = random.normal(size=200).round(1), random.integers(0, 2, 200)
    assert metrics.auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    found = scores[:, None]
    assert metrics.metric("mae", found, found, labels, found) == pytest.approx(mean_absolute_error(labels, scores))
    assert metrics.metric("deviation", 1.1 * found, found, None, found) == pytest.approx(0.1)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "oracle").glob("*.py")), ids=lambda path: path.stem)
def test_the_oracle_knows_nothing_of_bitpick(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not [name for name in names if name.partition(".")[0] == "bitpick"]
        outside = [name for name in names if name.startswith("tests.") and not name.startswith("tests.zoo.oracle")]
        assert outside == []
