"""What random graphs have now and then that is odd: samples that see each other, draws, rows that vary."""

from __future__ import annotations

import numpy as np
from onnx import helper

from tests.zoo.random_graphs import INT64, Builder, step


@step()
def odd(b: Builder):
    """One time in three, one of them."""
    if b.choose([True, False, False]):
        b.choose([over_the_batch, batch_moved, stored_output, handed_on, dropout, tiled, noise, rows_that_vary])(b)


def over_the_batch(b: Builder):
    """Samples see each other: a mean, a softmax or a norm over the batch."""
    if b.lead and (x := b.pick(1)):
        way = b.choose(["mean", "softmax", "cumsum"])
        if way == "mean":
            middle = b.name("t")
            b.nodes.append(helper.make_node("ReduceMean", [x.name], [middle], b.name("m"), axes=[0], keepdims=1))
            b.add("Sub", [x.name, middle], x.shape)
        elif way == "softmax":
            b.add("Softmax", [x.name], x.shape, axis=0)
        else:
            b.add("CumSum", [x.name, b.store(np.array(0))], x.shape)


def batch_moved(b: Builder):
    """The batch is put second, and back; or turned round."""
    if b.lead and (x := b.pick(1)):
        perm = [1, 0, *range(2, x.rank + 1)]
        moved = b.name("t")
        b.nodes.append(helper.make_node("Transpose", [x.name], [moved], b.name("turn"), perm=perm))
        b.nodes.append(helper.make_node("Tanh", [moved], [after := b.name("t")], b.name("tanh")))
        b.add("Transpose", [after], x.shape, perm=perm)


def stored_output(b: Builder):
    """Something that no input changes."""
    x = b.store(b.random.normal(size=3).astype(np.float32))
    if b.batch is None:
        b.add("Neg", [x], (3,))


def handed_on(b: Builder):
    """An input goes on as it is."""
    x = b.values[0]
    b.add("Identity", [x.name], x.shape, x.kind)


def dropout(b: Builder):
    """Dropout, which does nothing."""
    if x := b.pick():
        b.add("Dropout", [x.name], x.shape)


def tiled(b: Builder):
    """An axis of a sample is repeated, or one of 1 expanded."""
    if x := b.pick(1, 3):
        if x.shape[0] == 1 and b.batch == "batch":
            shape = (3, *x.shape[1:])
            b.add("Expand", [x.name, b.store(np.array([1, *shape]))], shape)
        else:
            times = [1] * b.lead + [2] + [1] * (x.rank - 1)
            b.add("Tile", [x.name, b.store(np.array(times))], (2 * x.shape[0], *x.shape[1:]))


def noise(b: Builder):
    """Random numbers are added."""
    if b.choose([False, False, True]) and (x := b.pick()):
        drawn = b.name("t")
        b.nodes.append(helper.make_node("RandomNormalLike", [x.name], [drawn], b.name("noise")))
        b.add("Add", [x.name, drawn], x.shape)


def rows_that_vary(b: Builder):
    """A graph that gives a row for each number above nothing: no output of it has the batch first."""
    if b.lead and (x := b.pick(1, 1)):
        places = b.name("t")
        b.nodes.append(helper.make_node("NonZero", [x.name], [places], b.name("places")))
        turned = b.name("t")
        b.nodes.append(helper.make_node("Transpose", [places], [turned], b.name("turn"), perm=[1, 0]))
        b.values.append(type(x)(turned, (2,), INT64))
