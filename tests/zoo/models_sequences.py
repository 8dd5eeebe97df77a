"""Transformers, convolutions along time, and recurrent networks."""

from __future__ import annotations

import numpy as np

from tests.zoo.entry import SAMPLES, accepted
from tests.zoo.onnx_files import clusters, finish, fit, graph, noise, one_hot, weights

TOKENS, LENGTH, WIDTH = 20, 6, 16
ATTENTION = """
    q = MatMul(e, wq) k = MatMul(e, wk) v = MatMul(e, wv) kt = Transpose<perm=[0,2,1]>(k) a = MatMul(q, kt)
    d = Div(a, root) m = Add(d, bias) p = Softmax<axis=-1>(m) o = MatMul(p, v) oo = MatMul(o, wo) z = Add(e, oo)
    n = LayerNormalization<axis=-1>(z, gamma, beta) u = MatMul(n, w1) u1 = Add(u, b1) r = Relu(u1) u2 = MatMul(r, w2)
    t = Add(n, u2)"""


def blocks():
    """The stored tensors of ATTENTION, and a table of embeddings."""
    square = {name: weights(WIDTH, WIDTH, seed=i) for i, name in enumerate(("wq", "wk", "wv", "wo"))}
    return square | {
        "table": weights(TOKENS, WIDTH, scale=3.0), "root": np.float32(np.sqrt(WIDTH)), "w1": weights(32, WIDTH).T,
        "b1": weights(32), "w2": weights(WIDTH, 32).T, "gamma": np.ones(WIDTH, np.float32),
        "beta": np.zeros(WIDTH, np.float32),
    }  # fmt: skip


def sentences():
    """Token ids, a mask that ends each sentence, and a class that its tokens make."""
    random, count = np.random.default_rng(0), sum(SAMPLES.values())
    labels = random.integers(0, 3, count)
    ids = np.where(random.random((count, LENGTH)) < 0.7, 1 + 6 * labels[:, None], 1) + random.integers(
        0, 6, (count, LENGTH)
    )
    mask = (np.arange(LENGTH) < random.integers(3, LENGTH + 1, count)[:, None]).astype(np.int64)
    return ids * mask, mask, labels


def masked(folder, lowest):
    """A classifier of sentences whose attention leaves out what is masked, by adding a number to it."""
    ids, mask, labels = sentences()
    text = f"""(int64[batch,{LENGTH}] input_ids, int64[batch,{LENGTH}] attention_mask) => (float[batch,3] y) {{
        e = Gather(table, input_ids) there = Cast<to=1>(attention_mask) absent = Sub(one, there)
        wide = Unsqueeze(absent, first) none = Equal(wide, nought) bias = Where(none, nought, lowest) {ATTENTION}
        w3 = Unsqueeze(there, last) kept = Mul(t, w3) f0 = ReduceMean<axes=[1],keepdims=0>(kept)
        y = MatMul(f0, head) }}"""
    stored = blocks() | {
        "one": np.float32(1), "nought": np.float32(0), "lowest": np.float32(lowest), "first": np.array([1]),
        "last": np.array([2]), "head": np.zeros((WIDTH, 3), np.float32),
    }  # fmt: skip
    model = fit(graph(text, stored), "f0", "head", [ids, mask], one_hot(labels))
    return finish(folder, model, {"input_ids": ids, "attention_mask": mask}, labels)


@accepted("classification", "accuracy", least=0.8)
def mask_of_the_lowest_float(folder):
    """As transformers' BERT: -3.4e38 is added."""
    return masked(folder, np.finfo(np.float32).min)


@accepted("classification", "accuracy", least=0.8)
def mask_of_minus_infinity(folder):
    """As PyTorch's own attention: minus infinity is added."""
    return masked(folder, -np.inf)


@accepted("classification", "accuracy", least=0.8)
def mask_of_minus_a_milliard(folder):
    """As TensorFlow's: -1e9 is added."""
    return masked(folder, -1e9)


@accepted("deviation", "deviation")
def causal_language_model(folder):
    """A score for each token at each place, with a stored mask that hides what comes later; without labels."""
    ids, _, _ = sentences()
    text = f"""(int64[batch,{LENGTH}] ids) => (float[batch,{LENGTH},{TOKENS}] y) {{
        e = Gather(table, ids) {ATTENTION} y = MatMul(t, head) }}"""
    bias = np.triu(np.full((LENGTH, LENGTH), -10000, np.float32), 1)
    return finish(folder, graph(text, blocks() | {"bias": bias, "head": weights(TOKENS, WIDTH).T}), {"ids": ids})


@accepted("classification", "accuracy", least=0.8)
def free_length(folder):
    """The length of the sequence is free in the graph, and fixed by the data."""
    ids, _, labels = sentences()
    text = f"""(int64[batch,length] ids) => (float[batch,3] y) {{
        e = Gather(table, ids) {ATTENTION} f0 = ReduceMean<axes=[1],keepdims=0>(t) y = MatMul(f0, head) }}"""
    stored = blocks() | {"bias": np.float32(0), "head": np.zeros((WIDTH, 3), np.float32)}
    return finish(folder, fit(graph(text, stored), "f0", "head", [ids], one_hot(labels)), {"ids": ids}, labels)


@accepted("classification", "accuracy", least=0.8)
def float_ids(folder):
    """Ids that arrive as floats and are cast before they are looked up, as Keras' Embedding does."""
    ids, _, labels = sentences()
    text = f"""(float[batch,{LENGTH}] x) => (float[batch,3] y) {{
        i = Cast<to=6>(x) e = Gather(table, i) f0 = Flatten(e) y = MatMul(f0, head) }}"""
    stored = {"table": weights(TOKENS, WIDTH, scale=3.0), "head": np.zeros((WIDTH * LENGTH, 3), np.float32)}
    x = ids.astype(np.float32)
    return finish(folder, fit(graph(text, stored), "f0", "head", [x], one_hot(labels)), {"x": x}, labels)


@accepted("classification", "accuracy", least=0.6)
def convolution_along_time(folder):
    """A 1-D convolution and the largest of each channel, over all times."""
    x, labels = clusters((4, 24), 5)
    text = """(float[batch,4,24] x) => (float[batch,5] y) {
        c = Conv<pads=[1,1]>(x, w) r = Relu(c) p = GlobalMaxPool(r) f0 = Flatten(p) y = MatMul(f0, head) }"""
    stored = {"w": weights(32, 4, 3), "head": np.zeros((32, 5), np.float32)}
    return finish(folder, fit(graph(text, stored), "f0", "head", [x], one_hot(labels)), {"x": x}, labels)


@accepted("classification", "accuracy", least=0.6)
def layer_norm_and_gelu(folder):
    """LayerNormalization and Gelu as operators of their own."""
    x, labels = clusters((16,), 5)
    text = """(float[batch,16] x) => (float[batch,5] y) {
        n = LayerNormalization<axis=-1>(x, gamma, beta) a = MatMul(n, w) c = Add(a, b)
        f0 = Gelu(c) y = MatMul(f0, head) }"""
    stored = {
        "gamma": np.ones(16, np.float32), "beta": np.zeros(16, np.float32), "w": weights(32, 16).T, "b": weights(32),
        "head": np.zeros((32, 5), np.float32),
    }  # fmt: skip
    return finish(folder, fit(graph(text, stored, 20), "f0", "head", [x], one_hot(labels)), {"x": x}, labels)


def recurrent(folder, operator, gates, direction="forward"):
    """A recurrent layer whose last state is classified."""
    ways = 2 if direction == "bidirectional" else 1
    x, labels = clusters((8, 6), 4, noise=0.5)
    text = f"""(float[batch,8,6] x) => (float[batch,4] y) {{
        t = Transpose<perm=[1,0,2]>(x) all, last = {operator}<hidden_size=12,direction="{direction}">(t, w, r, b)
        l = Transpose<perm=[1,0,2]>(last) f0 = Flatten(l) y = MatMul(f0, head) }}"""
    stored = {
        "w": weights(ways, gates * 12, 6), "r": weights(ways, gates * 12, 12) / 4,
        "b": 0.1 * weights(ways, 2 * gates * 12), "head": np.zeros((ways * 12, 4), np.float32),
    }  # fmt: skip
    return finish(folder, fit(graph(text, stored), "f0", "head", [x], one_hot(labels)), {"x": x}, labels)


@accepted("classification", "accuracy", least=0.6)
def lstm(folder):
    """An LSTM in both directions."""
    return recurrent(folder, "LSTM", 4, "bidirectional")


@accepted("classification", "accuracy", least=0.6)
def gru(folder):
    """A GRU."""
    return recurrent(folder, "GRU", 3)


@accepted("classification", "accuracy", least=0.6)
def rnn(folder):
    """A plain recurrent layer."""
    return recurrent(folder, "RNN", 1)


@accepted("deviation", "deviation")
def states_on_axis_one(folder):
    """States as inputs and outputs, whose batch is their second axis; the state comes out in the shape it went in."""
    text = """(float[batch,5,6] x, float[1,batch,12] h, float[1,batch,12] c)
        => (float[batch,4] y, float[1,batch,12] hn, float[1,batch,12] cn) {
        t = Transpose<perm=[1,0,2]>(x) all, hn, cn = LSTM<hidden_size=12>(t, w, r, b, , h, c)
        l = Squeeze(hn, first) y = MatMul(l, head) }"""
    stored = {
        "w": weights(1, 48, 6), "r": weights(1, 48, 12) / 4, "b": 0.1 * weights(1, 96), "first": np.array([0]),
        "head": weights(4, 12).T,
    }  # fmt: skip
    inputs = {"x": noise(5, 6), "h": 0.3 * noise(1, 12, seed=1), "c": 0.3 * noise(1, 12, seed=2)}
    inputs = {name: each if name == "x" else each.squeeze(1)[:, None] for name, each in inputs.items()}
    return finish(folder, graph(text, stored), inputs, axes=(0, 1, 1))


@accepted("deviation", "deviation")
def mirrored_state(folder):
    """A state that comes out in the shape it went in, beside an output: no reconstruction."""
    text = """(float[batch,8] x, float[batch,8] h) => (float[batch,3] y, float[batch,8] hn) {
        k = Concat<axis=1>(x, h) a = MatMul(k, w) hn = Tanh(a) y = MatMul(hn, head) }"""
    inputs = {"x": noise(8), "h": 0.3 * noise(8, seed=1)}
    return finish(folder, graph(text, {"w": weights(8, 16).T, "head": weights(3, 8).T}), inputs)


@accepted("deviation", "deviation")
def sequence_out(folder):
    """What a GRU gives at each time, in the order batch, time, width."""
    text = """(float[batch,7,6] x) => (float[batch,7,4] y) {
        t = Transpose<perm=[1,0,2]>(x) all, last = GRU<hidden_size=12>(t, w, r, b) s = Squeeze(all, first)
        o = Transpose<perm=[1,0,2]>(s) y = MatMul(o, head) }"""
    stored = {
        "w": weights(1, 36, 6), "r": weights(1, 36, 12) / 4, "b": 0.1 * weights(1, 72), "first": np.array([1]),
        "head": weights(4, 12).T,
    }  # fmt: skip
    return finish(folder, graph(text, stored), {"x": noise(7, 6)})


@accepted(only_float=True)
def time_first(folder):
    """Input and output with time before the batch."""
    text = """(float[7,batch,6] x) => (float[7,batch,12] y) {
        all, last = GRU<hidden_size=12>(x, w, r, b) y = Squeeze(all, first) }"""
    stored = {
        "w": weights(1, 36, 6), "r": weights(1, 36, 12) / 4, "b": 0.1 * weights(1, 72), "first": np.array([1]),
    }  # fmt: skip
    return finish(folder, graph(text, stored), {"x": noise(7, 6)}, axes=(1,))


@accepted("deviation", "deviation")
def spectrum(folder):
    """The mean spectrum of a wave, and a dense layer: audio that the graph itself transforms."""
    text = """(float[batch,256] x) => (float[batch,4] y) {
        u = Unsqueeze(x, last) s = STFT(u, step, window) q = Mul(s, s) p = ReduceSum<keepdims=0>(q, parts)
        m = ReduceMean<axes=[1],keepdims=0>(p) y = MatMul(m, head) }"""
    stored = {
        "last": np.array([2]), "step": np.array(32), "window": np.hanning(64).astype(np.float32),
        "parts": np.array([3]), "head": weights(4, 33).T,
    }  # fmt: skip
    return finish(folder, graph(text, stored), {"x": noise(256)})


@accepted("deviation", "deviation")
def norm_over_several_axes(folder):
    """A layer norm whose scale and bias have three axes."""
    text = """(float[batch,3,8,8] x) => (float[batch,4] y) {
        c = Conv<pads=[1,1,1,1]>(x, w) n = LayerNormalization<axis=1>(c, gamma, beta) r = Relu(n)
        g = GlobalAveragePool(r) f = Flatten(g) y = MatMul(f, head) }"""
    stored = {"w": weights(8, 3, 3, 3), "gamma": 1 + 0.1 * weights(8, 8, 8), "beta": 0.1 * weights(8, 8, 8, seed=1)}
    return finish(folder, graph(text, stored | {"head": weights(4, 8).T}), {"x": noise(3, 8, 8)})
