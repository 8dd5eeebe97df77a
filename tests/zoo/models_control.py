"""Control flow: what is inside is executed too."""

from __future__ import annotations

import numpy as np

from tests.zoo.entry import accepted, refused
from tests.zoo.onnx_files import finish, graph, noise, weights


@accepted("deviation", "deviation", only_float=True)
def convolutions_in_branches(folder):
    """Both branches of an If convolve; which one runs is seen in the sample."""
    text = """(float[1,4,8,8] x) => (float[1,4,8,8] y) {
        m = ReduceMean<keepdims=0>(x) c = Greater(m, nought)
        y = If(c) <
            then_branch = yes () => (float[1,4,8,8] a) { a = Conv<pads=[1,1,1,1]>(x, w, b) },
            else_branch = no () => (float[1,4,8,8] e) { d = Conv<pads=[1,1,1,1]>(x, w, b) e = Relu(d) }
        > }"""
    stored = {"w": weights(4, 4, 3, 3), "b": weights(4), "nought": np.float32(0)}
    return finish(folder, graph(text, stored), {"x": noise(4, 8, 8)})


@accepted("deviation", "deviation", only_float=True)
def products_in_a_loop(folder):
    """A product that is repeated three times."""
    text = """(float[batch,8] x) => (float[batch,8] y) {
        y = Loop(three, yes, x) <
            body = again (int64 i, bool on, float[batch,8] before) => (bool go, float[batch,8] after) {
                go = Identity(on) p = MatMul(before, w) after = Tanh(p) }
        > }"""
    stored = {"w": weights(8, 8), "three": np.array(3), "yes": np.array(True)}
    return finish(folder, graph(text, stored), {"x": noise(8)})


@accepted("deviation", "deviation")
def products_beside_a_loop(folder):
    """A dense layer whose weights become integers, and a loop whose weights do not."""
    text = """(float[batch,8] x) => (float[batch,8] y) {
        d = MatMul(x, w0) r = Relu(d)
        l = Loop(three, yes, r) <
            body = again (int64 i, bool on, float[batch,8] before) => (bool go, float[batch,8] after) {
                go = Identity(on) p = MatMul(before, w) after = Tanh(p) }
        >
        y = MatMul(l, w1) }"""
    stored = {"w": weights(8, 8), "three": np.array(3), "yes": np.array(True)}
    stored |= {"w0": weights(8, 8, seed=1), "w1": weights(8, 8, seed=2)}
    return finish(folder, graph(text, stored), {"x": noise(8)})


@accepted("deviation", "deviation", only_float=True)
def scan_over_time(folder):
    """A recurrent layer that an exporter wrote as a Scan."""
    text = """(float[batch,5,6] x) => (float[batch,8] y) {
        t = Transpose<perm=[1,0,2]>(x) z = MatMul(x, no) z1 = ReduceMean<axes=[1],keepdims=0>(z)
        y, all = Scan(z1, t) <
            num_scan_inputs = 1,
            body = step (float[batch,8] h, float[batch,6] now) => (float[batch,8] next, float[batch,8] out) {
                a = MatMul(now, w) b = MatMul(h, r) s = Add(a, b) next = Tanh(s) out = Identity(next) }
        > }"""
    stored = {"w": weights(8, 6).T, "r": weights(8, 8).T / 2, "no": np.zeros((6, 8), np.float32)}
    return finish(folder, graph(text, stored), {"x": noise(5, 6)})


@accepted("deviation", "deviation", only_float=True)
def weights_that_a_loop_hands_on(folder):
    """As TensorFlow's converters write a loop: its weights are inputs of its body, and outputs again."""
    text = """(float[batch,8] x) => (float[batch,8] y) {
        y, same = Loop(three, yes, x, w) <
            body = again (int64 i, bool on, float[batch,8] before, float[8,8] kept)
                => (bool go, float[batch,8] after, float[8,8] kept_too) {
                go = Identity(on) p = MatMul(before, kept) after = Tanh(p) kept_too = Identity(kept) }
        > }"""
    stored = {"w": weights(8, 8), "three": np.array(3), "yes": np.array(True)}
    return finish(folder, graph(text, stored), {"x": noise(8)})


@refused("for some samples")
def branches_of_other_sizes(folder):
    """An If whose branches give outputs of other sizes."""
    text = """(float[1,8] x) => (float[1,n] y) {
        s = ReduceSum<keepdims=0>(x) c = Greater(s, nought)
        y = If(c) <
            then_branch = yes () => (float[1,4] a) { a = MatMul(x, w) },
            else_branch = no () => (float[1,6] e) { e = MatMul(x, v) }
        > }"""
    stored = {"w": weights(4, 8).T, "v": weights(6, 8).T, "nought": np.float32(0)}
    return finish(folder, graph(text, stored, check=False), {"x": noise(8)}, floats=False)
