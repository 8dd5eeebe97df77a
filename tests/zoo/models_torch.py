"""Models that PyTorch saved, in each of its ways. They are made in a process of their own."""

from __future__ import annotations

import numpy as np

from tests.zoo.entry import SAMPLES, Made, accepted, refused, rng, write_samples

CLASSES = 4


def net():
    """A small classifier of pictures."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(256, CLASSES))


def pictures():
    """Samples around a centre for each class, for both splits, and their classes."""
    random, count = rng(), sum(SAMPLES.values())
    labels = random.integers(0, CLASSES, count)
    return (2 * random.normal(size=(CLASSES, 3, 8, 8))[labels] + random.normal(size=(count, 3, 8, 8))).astype(
        np.float32
    ), labels


def trained(module, inputs, labels):
    """The module after a few steps on the first split, in evaluation mode."""
    import torch

    first = SAMPLES["train"]
    given, target = [torch.from_numpy(each[:first]) for each in inputs], torch.from_numpy(labels[:first])
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(*given), target).backward()
        optimizer.step()
    return module.eval()


def finish(folder, model, module, inputs, labels=None, **options) -> Made:
    """Write the data of a module, and run it on the evaluation samples, one at a time."""
    import torch
    from torch.utils import _pytree

    first = SAMPLES["train"]
    windows = {"train": slice(first), "test": slice(first, None)}
    more = {} if labels is None else {"labels": labels}
    parts = {name: {key: each[w] for key, each in {**inputs, **more}.items()} for name, w in windows.items()}
    held_out = [each[first:] for each in inputs.values()]
    found = []
    with torch.inference_mode():
        for number in range(len(held_out[0])):
            outputs = module(*(torch.from_numpy(each[number : number + 1]) for each in held_out))
            found.append([each.numpy().reshape(-1) for each in _pytree.tree_leaves(outputs)])
    floats = [np.stack(each).astype(np.float32) for each in zip(*found, strict=True)]
    data = write_samples(folder / "data", parts)
    return Made(model, data, held_out, floats, None if labels is None else labels[first:], options=options)


def classifier(folder, save) -> Made:
    """The trained classifier, saved by a function of the path's stem, the module and two samples."""
    import torch

    folder.mkdir(parents=True)
    x, labels = pictures()
    module = trained(net(), [x], labels)
    return finish(folder, save(folder, module, torch.from_numpy(x[:2])), module, {"x": x}, labels, trust=True)


@accepted("classification", "accuracy", least=0.6)
def exported_program(folder):
    """A .pt2 whose batch is free."""
    import torch

    def save(folder, module, some):
        free = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(module, (some,), dynamic_shapes=free), folder / "model.pt2")
        return folder / "model.pt2"

    return classifier(folder, save)


@accepted("classification", "accuracy", least=0.6)
def program_of_one_sample(folder):
    """A .pt2 that takes one sample at a time."""
    import torch

    def save(folder, module, some):
        torch.export.save(torch.export.export(module, (some[:1],)), folder / "model.pt2")
        return folder / "model.pt2"

    return classifier(folder, save)


def other(folder, forward, example):
    """A .pt2 of the trained classifier behind a step of its own, exported for an example that is made of a picture."""
    import torch

    def save(folder, module, some):
        class Other(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = module

            def forward(self, x):
                return forward(self.net, x)

        torch.export.save(torch.export.export(Other().eval(), (example(some),)), folder / "model.pt2")
        return folder / "model.pt2"

    return classifier(folder, save)


@accepted("classification", "accuracy", least=0.6)
def program_without_a_batch(folder):
    """A .pt2 that takes one picture, without an axis for more."""
    return other(folder, lambda net, x: net(x[None])[0], lambda some: some[0])


@accepted("classification", "accuracy", least=0.6)
def program_with_another_batch_axis(folder):
    """A .pt2 that takes pictures along its second axis, and gives their scores along its second, too."""
    return other(folder, lambda net, x: net(x.movedim(1, 0)).T, lambda some: some.movedim(0, 1))


@accepted("classification", "accuracy", least=0.6)
def torchscript(folder):
    """A traced module."""
    import torch

    def save(folder, module, some):
        torch.jit.trace(module, some).save(folder / "model.pt")
        return folder / "model.pt"

    return classifier(folder, save)


@refused("(?i)training mode|eval")
def program_in_training_mode(folder):
    """A .pt2 that was exported before `.eval()`: its dropout draws, its norm is that of the batch."""
    import torch

    def save(folder, module, some):
        free = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(module.train(), (some,), dynamic_shapes=free), folder / "model.pt2")
        module.eval()
        return folder / "model.pt2"

    return classifier(folder, save)


def built():
    """What a user's own function returns: the network with its first weights."""
    return net().eval()


@accepted("deviation", "deviation")
def function_of_a_module(folder):
    """module:function; it was not trained, and what it gives does not look like scores of classes."""
    folder.mkdir(parents=True)
    return finish(folder, f"{__name__}:built", built(), {"x": pictures()[0]}, trust=True)


@accepted("classification", "accuracy", least=0.6)
def attention_of_torch(folder):
    """A transformer's encoder layer on token ids, with padding that a mask leaves out."""
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(20, 16), nn.Linear(16, CLASSES)
            self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0, activation="gelu")

        def forward(self, ids, mask):
            x = self.layer(self.table(ids), src_key_padding_mask=mask == 0)
            return self.head((x * mask[..., None]).sum(1))

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    random, count = rng(), sum(SAMPLES.values())
    labels = random.integers(0, CLASSES, count)
    ids = 4 * labels[:, None] + random.integers(0, 4, (count, 6)) + 1
    mask = (np.arange(6) < random.integers(3, 7, count)[:, None]).astype(np.int64)
    module = trained(Encoder(), [ids * mask, mask], labels)
    some = tuple(torch.from_numpy(each[:2]) for each in (ids * mask, mask))
    free = {0: torch.export.Dim("batch")}
    torch.export.save(torch.export.export(module, some, dynamic_shapes=(free, free)), folder / "model.pt2")
    return finish(folder, folder / "model.pt2", module, {"ids": ids * mask, "mask": mask}, labels, trust=True)


@accepted()
def lstm_of_torch(folder):
    """An LSTM that gives its sequence and its states."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(6, 12, batch_first=True), nn.Linear(12, 3)

        def forward(self, x):
            all_, _ = self.lstm(x)
            return self.head(all_)

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    x = rng().normal(size=(sum(SAMPLES.values()), 7, 6)).astype(np.float32)
    module = Net().eval()
    free = ({0: torch.export.Dim("batch")},)
    torch.export.save(
        torch.export.export(module, (torch.from_numpy(x[:2]),), dynamic_shapes=free), folder / "model.pt2"
    )
    return finish(folder, folder / "model.pt2", module, {"x": x}, trust=True)


@accepted("deviation", "deviation")
def text_recognizer(folder):
    """Convolutions and an LSTM over the width of a picture; scores with time before the batch, as CTC takes them."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lstm, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.LSTM(32, 8), nn.Linear(8, 5)

        def forward(self, x):
            steps = self.conv(x).relu().flatten(1, 2).permute(2, 0, 1)
            return self.head(self.lstm(steps)[0]).log_softmax(2)

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    x = rng().normal(size=(sum(SAMPLES.values()), 1, 8, 12)).astype(np.float32)
    module = Net().eval()
    free = ({0: torch.export.Dim("batch")},)
    torch.export.save(
        torch.export.export(module, (torch.from_numpy(x[:2]),), dynamic_shapes=free), folder / "model.pt2"
    )
    return finish(folder, folder / "model.pt2", module, {"x": x}, trust=True)


@refused("keeps the state of ")
def program_that_keeps_a_state(folder):
    """A .pt2 that goes on where the call before it ended."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.GRUCell(8, 8), nn.Linear(8, 3)
            self.register_buffer("state", torch.zeros(1, 8))

        def forward(self, x):
            self.state = self.cell(x, self.state)
            return self.head(self.state)

    return exported(folder, Net())


@refused("stores numbers in float64")
def program_in_float64(folder):
    """A .pt2 in double precision."""
    from torch import nn

    return exported(folder, nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)).double(), "float64")


def exported(folder, module, dtype="float32"):
    """A module of 8 numbers as a .pt2 of one sample."""
    import torch

    folder.mkdir(parents=True)
    x = rng().normal(size=(sum(SAMPLES.values()), 8)).astype(dtype)
    torch.export.save(torch.export.export(module.eval(), (torch.from_numpy(x[:1]),)), folder / "model.pt2")
    return finish(folder, folder / "model.pt2", module, {"x": x}, trust=True)
