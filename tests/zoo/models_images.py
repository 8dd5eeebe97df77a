"""Image classifiers."""

from __future__ import annotations

import numpy as np

from tests.zoo.entry import Made, accepted
from tests.zoo.onnx_files import clusters, finish, fit, graph, one_hot, weights

HEAD = "g = GlobalAveragePool(f) f0 = Flatten(g) y = Gemm(f0, head, b)"


def classifier(folder, text, stored, width, shape=(3, 8, 8), classes=5, ends="float[batch,3,8,8] x", **more) -> Made:
    """A classifier whose features, the tensor f0, are made by nodes, and whose head is fitted."""
    x, labels = clusters(shape, classes, noise=1.0)
    kept = {"head": np.zeros((width, classes), np.float32), "b": np.zeros(classes, np.float32), **stored}
    model = graph(f"({ends}) => (float[batch,{classes}] y) {{ {text} }}", kept, more.pop("opset", 17))
    return finish(folder, fit(model, "f0", "head", [x], one_hot(labels)), {"x": x}, labels, **more)


@accepted("classification", "accuracy", least=0.6)
def plain_cnn(folder):
    """Convolutions with ReLU, pooling, and a dense layer."""
    text = f"""
        c = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(c) m = MaxPool<kernel_shape=[2,2],strides=[2,2]>(r)
        c2 = Conv<pads=[1,1,1,1]>(m, w2, b2) f = Relu(c2) {HEAD}"""
    return classifier(folder, text, {"w1": weights(16, 3, 3, 3), "w2": weights(24, 16, 3, 3), "b2": weights(24)}, 24)


@accepted("classification", "accuracy", least=0.6)
def depthwise(folder):
    """MobileNet's blocks: pointwise, depthwise, pointwise, with Clip at 6."""
    text = f"""
        a = Conv(x, w1) a6 = Clip(a, zero, six) d = Conv<group=24,pads=[1,1,1,1]>(a6, w2, b2) d6 = Clip(d, zero, six)
        f = Conv(d6, w3) {HEAD}"""
    stored = {
        "w1": weights(24, 3, 1, 1), "w2": weights(24, 1, 3, 3), "b2": weights(24), "w3": weights(20, 24, 1, 1),
        "zero": np.float32(0), "six": np.float32(6),
    }  # fmt: skip
    return classifier(folder, text, stored, 20)


@accepted("classification", "accuracy", least=0.6)
def squeeze_excite(folder):
    """Channels that are scaled by what a pooled branch says of them, with HardSigmoid and HardSwish."""
    text = f"""
        c = Conv<pads=[1,1,1,1]>(x, w1) s = HardSwish(c) p = GlobalAveragePool(s) q = Conv(p, w2) q2 = Relu(q)
        e = Conv(q2, w3) g0 = HardSigmoid(e) f = Mul(s, g0) {HEAD}"""
    stored = {"w1": weights(16, 3, 3, 3), "w2": weights(4, 16, 1, 1), "w3": weights(16, 4, 1, 1)}
    return classifier(folder, text, stored, 16)


@accepted("classification", "accuracy", least=0.6)
def residual(folder):
    """A residual block with batch norms that an exporter left in the graph."""
    text = f"""
        c = Conv<pads=[1,1,1,1]>(x, w1) n = BatchNormalization(c, s, o, mean, var) r = Relu(n)
        c2 = Conv<pads=[1,1,1,1]>(r, w2) n2 = BatchNormalization(c2, s, o, mean, var) a = Add(r, n2)
        f = Relu(a) {HEAD}"""
    stored = {
        "w1": weights(16, 3, 3, 3), "w2": weights(16, 16, 3, 3), "s": 1 + 0.1 * weights(16), "o": weights(16),
        "mean": 0.1 * weights(16, seed=1), "var": 1 + weights(16, seed=2) ** 2,
    }  # fmt: skip
    return classifier(folder, text, stored, 16)


@accepted("classification", "accuracy", least=0.5)
def grouped(folder):
    """A convolution in groups that are no single channels, whose scales differ by 50."""
    w = weights(32, 4, 3, 3)
    w[:4] *= 50
    text = f"e = Conv(x, w0) c = Conv<group=4,pads=[1,1,1,1]>(e, w) f = Relu(c) {HEAD}"
    return classifier(folder, text, {"w0": weights(16, 3, 1, 1), "w": w}, 32)


@accepted("classification", "accuracy", least=0.6)
def scores_1x1(folder):
    """Scores of shape (n, classes, 1, 1): a convolution is the head."""
    x, labels = clusters((3, 8, 8), 5, noise=1.0)
    stored = {"w": weights(16, 3, 3, 3), "head": np.zeros((5, 16, 1, 1), np.float32)}
    text = """(float[batch,3,8,8] x) => (float[batch,5,1,1] y) {
        c = Conv(x, w) r = Relu(c) p = GlobalAveragePool(r) y = Conv(p, head) }"""
    return finish(folder, fit(graph(text, stored), "p", "head", [x], one_hot(labels)), {"x": x}, labels)


@accepted("classification", "accuracy", least=0.6)
def channels_last(folder):
    """Channels last at the input, as TensorFlow's converters write it."""
    text = f"t = Transpose<perm=[0,3,1,2]>(x) c = Conv<pads=[1,1,1,1],strides=[2,2]>(t, w) f = Relu(c) {HEAD}"
    return classifier(folder, text, {"w": weights(16, 3, 3, 3)}, 16, (8, 8, 3), ends="float[batch,8,8,3] x")


@accepted("classification", "accuracy", least=0.6)
def uint8_pictures(folder):
    """Bytes at the input, which the graph itself scales."""
    x, labels = clusters((8, 8, 3), 5, noise=1.0)
    x = np.clip(x * 30 + 128, 0, 255).astype(np.uint8)
    stored = {
        "w": weights(16, 3, 3, 3), "scale": np.float32(1 / 64), "middle": np.float32(128),
        "head": np.zeros((16, 5), np.float32), "b": np.zeros(5, np.float32),
    }  # fmt: skip
    text = f"""(uint8[batch,8,8,3] x) => (float[batch,5] y) {{
        k = Cast<to=1>(x) k2 = Sub(k, middle) k3 = Mul(k2, scale) t = Transpose<perm=[0,3,1,2]>(k3)
        c = Conv(t, w) f = Relu(c) {HEAD} }}"""
    return finish(folder, fit(graph(text, stored), "f0", "head", [x], one_hot(labels)), {"x": x}, labels)


@accepted("classification", "accuracy", least=0.6)
def free_height_and_width(folder):
    """Height and width are free in the graph, and fixed by the data."""
    text = f"c = Conv<pads=[1,1,1,1]>(x, w) r = Relu(c) f = AveragePool<kernel_shape=[2,2]>(r) {HEAD}"
    return classifier(folder, text, {"w": weights(16, 3, 3, 3)}, 16, ends="float[batch,3,height,width] x")


@accepted("classification", "accuracy", least=0.6)
def fixed_batch(folder):
    """A graph that takes four samples at once, and no other number."""
    x, labels = clusters((3, 8, 8), 5, noise=1.0)
    stored = {"w": weights(16, 3, 3, 3), "head": np.zeros((16, 5), np.float32), "b": np.zeros(5, np.float32)}
    text = f"(float[4,3,8,8] x) => (float[4,5] y) {{ c = Conv(x, w) f = Relu(c) {HEAD} }}"
    return finish(folder, fit(graph(text, stored), "f0", "head", [x], one_hot(labels)), {"x": x}, labels)


@accepted("classification", "accuracy", least=0.6)
def bias_of_two_axes(folder):
    """A Gemm whose bias has the shape (1, classes)."""
    text = "c = Conv(x, w) r = Relu(c) f0 = Flatten(r) y = Gemm(f0, head, b)"
    stored = {"w": weights(4, 3, 3, 3), "b": np.zeros((1, 5), np.float32)}
    return classifier(folder, text, stored, 4 * 36)


@accepted("classification", "accuracy", least=0.6)
def prelu_resize_clip(folder):
    """PReLU with a slope for each channel, a nearest Resize, and a Clip."""
    text = f"""
        c = Conv<pads=[1,1,1,1]>(x, w) p = PRelu(c, slope) u = Resize<mode="nearest">(p, , scales)
        k = Clip(u, low, high) f = Conv(k, w2) {HEAD}"""
    stored = {
        "w": weights(8, 3, 3, 3), "slope": np.full((8, 1, 1), 0.2, np.float32), "low": np.float32(-1),
        "scales": np.array([1, 1, 2, 2], np.float32), "high": np.float32(6), "w2": weights(16, 8, 1, 1),
    }  # fmt: skip
    return classifier(folder, text, stored, 16)


@accepted("classification", "accuracy", least=0.6)
def minus_one_dims(folder):
    """A batch of -1, as Paddle's converter writes a free one."""
    made = classifier(folder, f"c = Conv(x, w) f = Relu(c) {HEAD}", {"w": weights(16, 3, 3, 3)}, 16)
    import onnx

    model = onnx.load(made.model)
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[0].dim_value = -1
    onnx.save(model, made.model)
    return made
