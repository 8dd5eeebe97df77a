"""Tables, and labels of every kind."""

from __future__ import annotations

import numpy as np

from tests.zoo.entry import SAMPLES, Made, accepted
from tests.zoo.onnx_files import clusters, finish, fit, graph, noise, one_hot, weights

_LAYERS = "a = MatMul(x, w) c = Add(a, b) f0 = Relu(c) o = MatMul(f0, head) y = Add(o, shift)"


def dense(inputs, outputs, shift=0.0):
    """The text and the stored tensors of a network of one hidden layer."""
    text = f"(float[batch,{inputs}] x) => (float[batch,{outputs}] y) {{ {_LAYERS} }}"
    stored = {
        "w": weights(32, inputs).T, "b": weights(32), "head": np.zeros((32, outputs), np.float32),
        "shift": np.full(outputs, shift, np.float32),
    }  # fmt: skip
    return graph(text, stored)


def smooth(width=4):
    """Numbers, and one that they make."""
    x = noise(width)
    return x, (2 * x[:, 0] - x[:, 1] + np.abs(x[:, 2])).astype(np.float32)


def regression(folder, labels, shift=0.0):
    """A regressor of `smooth`, beside these labels."""
    x, _ = smooth()
    model = fit(dense(4, 1, shift), "f0", "head", [x], labels[:, None].astype(np.float64) - shift)
    return finish(folder, model, {"x": x}, labels)


@accepted("regression", "mae")
def numbers(folder):
    """A number for each sample."""
    return regression(folder, smooth()[1])


@accepted("regression", "mae")
def whole_numbers(folder):
    """Prices: whole numbers, all different."""
    return regression(folder, (1_500_000 + 100_000 * smooth()[1]).round().astype(np.int64), 1_500_000.0)


@accepted("regression", "mae")
def unix_times(folder):
    """Seconds since 1970."""
    return regression(folder, (1_700_000_000 + 1_000_000 * smooth()[1]).round().astype(np.int64), 1_700_000_000.0)


@accepted("classification", "accuracy", least=0.8)
def plus_and_minus(folder):
    """A support vector machine's labels, -1 and 1, beside one score."""
    x, values = smooth()
    labels = np.where(values > 0.5, 1, -1)
    return finish(folder, fit(dense(4, 1), "f0", "head", [x], labels[:, None]), {"x": x}, labels)


@accepted("classification", "accuracy", least=0.8)
def one_probability(folder):
    """The probability of the second of two classes."""
    x, values = smooth()
    labels = (values > 0.5).astype(np.int64)
    model = fit(dense(4, 1), "f0", "head", [x], 4.0 * np.where(values > 0.5, 1, -1)[:, None])
    model.graph.node[-1].output[0] = "score"
    model.graph.node.append(graph("(float[batch,1] score) => (float[batch,1] y) { y = Sigmoid(score) }").graph.node[0])
    return finish(folder, model, {"x": x}, labels)


@accepted("multilabel", "macro_auc", least=0.8)
def several_labels(folder):
    """Labels that may be there together, of shape (n, labels)."""
    x, _ = smooth(6)
    labels = (x @ np.random.default_rng(3).normal(size=(6, 4)) > 0.5).astype(np.int64)
    return finish(folder, fit(dense(6, 4), "f0", "head", [x], labels), {"x": x}, labels)


@accepted("classification", "accuracy", least=0.8)
def numbers_and_kinds(folder):
    """Two inputs: numbers, and the number of a category, without an axis of its own."""
    x, labels = clusters((8,), 5)
    kind = np.random.default_rng(1).integers(0, 20, len(x))
    text = """(float[batch,8] x, int64[batch] kind) => (float[batch,5] y) {
        e = Gather(table, kind) g = Gemm<transB=1>(x, w, b) a = Add(e, g) f0 = Relu(a) y = MatMul(f0, head) }"""
    stored = {
        "table": 0.1 * weights(20, 16),
        "w": weights(16, 8),
        "b": weights(16),
        "head": np.zeros((16, 5), np.float32),
    }
    inputs = {"x": x, "kind": kind}
    return finish(folder, fit(graph(text, stored), "f0", "head", [x, kind], one_hot(labels)), inputs, labels)


def csv(folder, header, separator=",", classes=0, target=None, quoted=False, index=False, **options) -> Made:
    """A model whose evaluation and calibration sets are CSV files with these columns, the label among them."""
    x, values = smooth(len(header) - 1) if not classes else clusters((len(header) - 1,), classes)
    values = values.round(6) if not classes else values
    x = x.round(5)
    wanted = one_hot(values) if classes else values[:, None]
    model = fit(dense(x.shape[1], max(1, classes)), "f0", "head", [x], wanted)
    made = finish(folder, model, {"x": x}, values)
    place = header.index(target or "label")
    lines = np.insert(x.astype(np.float64), place, values, axis=1)
    place_of = {"train": slice(SAMPLES["train"]), "test": slice(SAMPLES["train"], None)}
    mark = '"' if quoted else ""
    for name, window in place_of.items():
        rows = [separator.join(f"{mark}{each}{mark}" for each in header)]
        for number, line in enumerate(lines[window]):
            cells = [f"{int(v)}" if classes and i == place else f"{v:.6f}" for i, v in enumerate(line)]
            rows.append(separator.join([str(number), *cells] if index else cells))
        rows[0] = separator.join(["", rows[0]]) if index else rows[0]
        (folder / "data" / f"{name}.npz").unlink()
        (folder / "data" / f"{name}.csv").write_text("\n".join(rows) + "\n")
    return Made(made.model, made.data, made.inputs, made.floats, made.labels, made.axes, options)


@accepted("classification", "accuracy", least=0.8)
def csv_of_classes(folder):
    """A table with a column `label` of class numbers."""
    return csv(folder, ["a", "b", "c", "d", "label"], classes=3)


@accepted("regression", "mae")
def csv_with_a_feature_y(folder):
    """Columns x, y, z and target: the last one is the label, whatever is called y."""
    return csv(folder, ["x", "y", "z", "target"], target="target", data_options={"labels": "target"})


@accepted("classification", "accuracy", least=0.6)
def csv_of_quoted_names(folder):
    """Semicolons between columns, whose quoted names have commas in them."""
    return csv(folder, ["temp, C", "p, bar", "q, l", "label"], ";", classes=3, quoted=True)


@accepted("classification", "accuracy", least=0.8)
def csv_with_an_index(folder):
    """The index that pandas writes: a first column without a name, counting from 0."""
    return csv(folder, ["a", "b", "c", "d", "label"], classes=3, index=True)


@accepted("classification", "accuracy", least=0.8)
def csv_of_numbered_columns(folder):
    """Columns whose names are numbers."""
    return csv(folder, ["0", "1", "2", "3", "label"], classes=3)


@accepted("classification", "accuracy", least=0.8)
def float_classes(folder):
    """Class numbers that a table's library made floats."""
    x, labels = clusters((6,), 3)
    model = fit(dense(6, 3), "f0", "head", [x], one_hot(labels))
    return finish(folder, model, {"x": x}, labels.astype(np.float64))


@accepted("classification", "accuracy", least=0.6)
def pictures_in_folders(folder):
    """Pictures, one folder a class, which are scaled as they are read."""
    from PIL import Image

    x, labels = clusters((3, 8, 8), 4)
    bytes_ = np.clip(128 + 30 * x, 0, 255).astype(np.uint8)
    scaled = (bytes_ / np.float32(255)).astype(np.float32)
    text = """(float[batch,3,8,8] x) => (float[batch,4] y) {
        c = Conv(x, w) r = Relu(c) g = GlobalAveragePool(r) f0 = Flatten(g) y = Gemm(f0, head, b) }"""
    stored = {"w": weights(16, 3, 3, 3), "head": np.zeros((16, 4), np.float32), "b": np.zeros(4, np.float32)}
    made = finish(folder, fit(graph(text, stored), "f0", "head", [scaled], one_hot(labels)), {"x": scaled}, labels)
    names = ["ant", "bee", "cow", "dog"]
    order = []
    for split, start, stop in (("train", 0, SAMPLES["train"]), ("test", SAMPLES["train"], len(labels))):
        for number in range(start, stop):
            place = folder / "pictures" / split / names[labels[number]]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(bytes_[number].transpose(1, 2, 0)).save(place / f"{number:04}.png")
        order = sorted(range(start, stop), key=lambda n: (labels[n], n))
    arranged = np.array(order) - SAMPLES["train"]
    return Made(
        made.model,
        folder / "pictures",
        [made.inputs[0][arranged]],
        [made.floats[0][arranged]],
        made.labels[arranged],
        options={"data_options": {"scale": 255.0}},
    )
