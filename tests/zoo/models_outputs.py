"""Models whose outputs are pictures, boxes, points or masks."""

from __future__ import annotations

import numpy as np

from tests.zoo.entry import accepted, refused
from tests.zoo.onnx_files import clusters, finish, fit, graph, noise, weights


@accepted("deviation", "deviation")
def super_resolution(folder):
    """Pictures of twice the size, by DepthToSpace, without labels."""
    text = """(float[batch,1,8,8] x) => (float[batch,1,16,16] y) {
        c = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(c)
        d = Conv<pads=[1,1,1,1]>(r, w2) y = DepthToSpace<blocksize=2>(d) }"""
    stored = {"w1": weights(16, 1, 3, 3), "b1": weights(16), "w2": weights(4, 16, 3, 3)}
    return finish(folder, graph(text, stored), {"x": noise(1, 8, 8)})


@accepted("deviation", "deviation")
def denoiser(folder):
    """An output of the input's shape that is not the input: what is noise."""
    text = """(float[batch,1,8,8] x) => (float[batch,1,8,8] y) {
        c = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(c) y = Conv<pads=[1,1,1,1]>(r, w2) }"""
    stored = {"w1": weights(16, 1, 3, 3), "b1": weights(16), "w2": weights(1, 16, 3, 3)}
    return finish(folder, graph(text, stored), {"x": noise(1, 8, 8)})


def _principal(rank: int = 4):
    """Samples of 24 numbers near a plane, and its base of shape (24, rank)."""
    random = np.random.default_rng(0)
    base = np.linalg.qr(random.normal(size=(24, rank)))[0]
    x = noise(rank) @ base.T + 0.05 * noise(24, seed=1)
    return x.astype(np.float32), base.astype(np.float32)


@accepted("reconstruction", "mae")
def autoencoder(folder):
    """Principal components there and back: it gives its input again."""
    x, base = _principal()
    text = "(float[batch,24] x) => (float[batch,24] y) { h = MatMul(x, down) y = MatMul(h, up) }"
    return finish(folder, graph(text, {"down": base, "up": base.T}), {"x": x})


@accepted("anomaly", "auc", least=0.9)
def anomalies(folder):
    """An autoencoder, beside labels that are 1 for what lies off the plane."""
    x, base = _principal()
    labels = (np.random.default_rng(1).random(len(x)) < 0.2).astype(np.int64)
    x = (x + labels[:, None] * 0.1 * noise(24, seed=2)).astype(np.float32)
    text = "(float[batch,24] x) => (float[batch,24] y) { h = MatMul(x, down) y = MatMul(h, up) }"
    return finish(folder, graph(text, {"down": base, "up": base.T}), {"x": x}, labels)


@accepted()
def binary_mask(folder):
    """A logit for each pixel, beside a mask of 0 and 1."""
    x = noise(3, 8, 8)
    labels = (x[:, :1] + x[:, 1:2] > 0.3).astype(np.int64)
    text = """(float[batch,3,8,8] x) => (float[batch,1,8,8] y) {
        c = Conv(x, w1, b1) f = Relu(c) y = Conv(f, w2, b2) }"""
    stored = {
        "w1": np.float32([[1, 1, 0], [-1, -1, 0]]).reshape(2, 3, 1, 1), "b1": np.float32([0, 0]),
        "w2": np.float32([[3, -3]]).reshape(1, 2, 1, 1), "b2": np.float32([-0.9]),
    }  # fmt: skip
    return finish(folder, graph(text, stored), {"x": x}, labels)


@accepted()
def class_map(folder):
    """A score for each class of each pixel, beside a map of classes."""
    x = noise(3, 8, 8)
    text = "(float[batch,3,8,8] x) => (float[batch,4,8,8] y) { y = Conv<pads=[1,1,1,1]>(x, w) }"
    made = finish(folder, graph(text, {"w": weights(4, 3, 3, 3)}), {"x": x})
    labels = np.zeros((len(x), 8, 8), np.int64)
    labels[-len(made.floats[0]) :] = made.floats[0].reshape(-1, 4, 8, 8).argmax(axis=1)
    return finish(folder, graph(text, {"w": weights(4, 3, 3, 3)}), {"x": x}, labels)


@accepted("deviation", "deviation", only_float=True)
def transposed_convolution(folder):
    """A transposed convolution alone, which ONNX Runtime computes in float."""
    text = "(float[batch,3,8,8] x) => (float[batch,8,10,10] y) { y = ConvTranspose(x, w, b) }"
    return finish(folder, graph(text, {"w": weights(3, 8, 3, 3), "b": weights(8)}), {"x": noise(3, 8, 8)})


@accepted("deviation", "deviation", never=True)
def unlike_branches(folder):
    """Two branches of unlike scales that meet in one tensor, and count alike in the output."""
    text = """(float[batch,4,8,8] x) => (float[batch,4,8,8] y) {
        c1 = Conv(x, w1) s = Sigmoid(c1) c2 = Conv(x, w2) k = Concat<axis=1>(s, c2) y = Conv(k, w3) }"""
    stored = {"w1": weights(8, 4, 1, 1), "w2": 400 * weights(8, 4, 1, 1)}
    stored["w3"] = np.concatenate([20 * weights(4, 8, 1, 1), 0.001 * weights(4, 8, 1, 1)], axis=1)
    return finish(folder, graph(text, stored), {"x": 3 * noise(4, 8, 8)})


_HEADS = """
    c = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w) f = Relu(c) b = Conv(f, wb) s = Conv(f, ws)
    ps = Sigmoid(s) pb = Sigmoid(b) big = Mul(pb, size) rb = Reshape(big, four) rs = Reshape(ps, three)"""
_STORED = {
    "w": weights(16, 3, 3, 3), "wb": weights(4, 16, 1, 1), "ws": weights(3, 16, 1, 1), "size": np.float32(640),
    "four": np.array([0, 4, -1]), "three": np.array([0, 3, -1]),
}  # fmt: skip


@accepted("deviation", "deviation", never=True)
def detector_of_one_tensor(folder):
    """Boxes in pixels and scores from 0 to 1 in one tensor: one scale for both leaves no score."""
    text = f"""(float[batch,3,8,8] x) => (float[batch,16,7] y) {{ {_HEADS}
        k = Concat<axis=1>(rb, rs) y = Transpose<perm=[0,2,1]>(k) }}"""
    return finish(folder, graph(text, _STORED), {"x": noise(3, 8, 8)})


@accepted("deviation", "deviation", never=True)
def detector_channels_first(folder):
    """The same, with the boxes' and the scores' axis before that of the places, as YOLO exports it."""
    text = f"(float[batch,3,8,8] x) => (float[batch,7,16] y) {{ {_HEADS} y = Concat<axis=1>(rb, rs) }}"
    return finish(folder, graph(text, _STORED), {"x": noise(3, 8, 8)})


@accepted("deviation", "deviation")
def detector_of_two_outputs(folder):
    """Boxes and scores as outputs of their own."""
    text = f"""(float[batch,3,8,8] x) => (float[batch,4,16] boxes, float[batch,3,16] scores) {{ {_HEADS}
        boxes = Identity(rb) scores = Identity(rs) }}"""
    return finish(folder, graph(text, _STORED), {"x": noise(3, 8, 8)})


@refused("(?i)batch|first axis|NonMaxSuppression")
def selected_boxes(folder):
    """A graph that ends in NonMaxSuppression: a row for each box that is left, of all samples."""
    text = f"""(float[batch,3,8,8] x) => (int64[found,3] y) {{ {_HEADS}
        t = Transpose<perm=[0,2,1]>(rb) y = NonMaxSuppression(t, rs, most, overlap, least) }}"""
    stored = {**_STORED, "most": np.array([5]), "overlap": np.float32([0.5]), "least": np.float32([0.1])}
    return finish(folder, graph(text, stored), {"x": noise(3, 8, 8)}, floats=False)


@refused("(?i)batch|first axis|NonZero")
def places_that_fire(folder):
    """A graph that ends in NonZero, whose first axis is that of dimensions."""
    text = """(float[batch,8] x) => (int64[2,found] y) { a = MatMul(x, w) h = Relu(a) y = NonZero(h) }"""
    return finish(folder, graph(text, {"w": weights(8, 6)}), {"x": noise(8)}, floats=False)


@accepted("deviation", "deviation", never=True)
def points_and_visibilities(folder):
    """Key points in pixels, each beside how visible it is: (n, points, 3)."""
    text = """(float[batch,3,8,8] x) => (float[batch,5,3] y) {
        c = Conv(x, w) f = Relu(c) g = Flatten(f) p = MatMul(g, wp) p3 = Reshape(p, two) pp = Mul(p3, size)
        v = MatMul(g, wv) v3 = Reshape(v, one) s = Sigmoid(v3) y = Concat<axis=2>(pp, s) }"""
    stored = {
        "w": weights(4, 3, 3, 3), "wp": weights(10, 144).T, "wv": weights(5, 144).T, "size": np.float32(100),
        "two": np.array([0, 5, 2]), "one": np.array([0, 5, 1]),
    }  # fmt: skip
    return finish(folder, graph(text, stored), {"x": noise(3, 8, 8)})


@accepted("regression", "mae")
def points_with_labels(folder):
    """Key points beside labelled ones: (n, points, 2)."""
    x, labels = noise(6), noise(6)[:, :1] @ np.float32([[1, 2, 3, 4, 5, 6, 7, 8]])
    text = """(float[batch,6] x) => (float[batch,4,2] y) {
        h = MatMul(x, w) r = Relu(h) p = MatMul(r, head) y = Reshape(p, to) }"""
    stored = {"w": weights(32, 6).T, "head": np.zeros((32, 8), np.float32), "to": np.array([0, 4, 2])}
    return finish(folder, fit(graph(text, stored), "r", "head", [x], labels), {"x": x}, labels.reshape(-1, 4, 2))


@accepted("classification", "accuracy", output=1, least=0.6)
def scores_and_embedding(folder):
    """Scores that labels are for, beside an embedding that they are not for."""
    x, labels = clusters((12,), 4)
    text = """(float[batch,12] x) => (float[batch,16] embedding, float[batch,4] y) {
        a = MatMul(x, w) embedding = Relu(a) y = MatMul(embedding, head) }"""
    stored = {"w": weights(16, 12).T, "head": np.zeros((16, 4), np.float32)}
    model = fit(graph(text, stored), "embedding", "head", [x], np.eye(4)[labels])
    return finish(folder, model, {"x": x}, labels)


@accepted("classification", "accuracy", least=0.6)
def number_of_a_class(folder):
    """The number of the class alone, as ArgMax gives it; the user says that it is one."""
    x, labels = clusters((12,), 4)
    text = """(float[batch,12] x) => (int64[batch] y) {
        a = MatMul(x, w) r = Relu(a) s = MatMul(r, head) y = ArgMax<axis=1,keepdims=0>(s) }"""
    stored = {"w": weights(16, 12).T, "head": np.zeros((16, 4), np.float32)}
    model = fit(graph(text, stored), "r", "head", [x], np.eye(4)[labels])
    return finish(folder, model, {"x": x}, labels, task="classification")


@refused("--task segmentation")
def map_of_numbers(folder):
    """A map of class numbers beside a map of labels: classes or amounts?"""
    text = "(float[batch,3,8,8] x) => (int64[batch,8,8] y) { c = Conv(x, w) y = ArgMax<axis=1,keepdims=0>(c) }"
    model, x = graph(text, {"w": weights(4, 3, 1, 1)}), noise(3, 8, 8)
    return finish(folder, model, {"x": x}, np.random.default_rng(1).integers(0, 4, (len(x), 8, 8)))


@accepted("segmentation", None)
def mask_of_a_picture(folder):
    """A logit for each pixel, beside a mask of 0 and 255."""
    x = noise(3, 8, 8)
    labels = np.where(x[:, :1] + x[:, 1:2] > 0.3, 255, 0).astype(np.uint8)
    text = """(float[batch,3,8,8] x) => (float[batch,1,8,8] y) {
        c = Conv(x, w1) f = Relu(c) y = Conv(f, w2, b2) }"""
    stored = {
        "w1": np.float32([[1, 1, 0], [-1, -1, 0]]).reshape(2, 3, 1, 1),
        "w2": np.float32([[3, -3]]).reshape(1, 2, 1, 1), "b2": np.float32([-0.9]),
    }  # fmt: skip
    return finish(folder, graph(text, stored), {"x": x}, labels)
