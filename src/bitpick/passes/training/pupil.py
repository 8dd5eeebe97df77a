"""The network that is trained, beside the float network that teaches it, and the samples that both see."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from bitpick.conversion import onnx_file, pytorch_from_onnx
from bitpick.datasets.dataset import Samples
from bitpick.passes.graphs import Graph
from bitpick.passes.training.batches import Augmentation, Batches, are_pictures, held_out
from bitpick.passes.training.network import Network, trainable, without_softmax
from bitpick.passes.training.objective import Objective
from bitpick.passes.weight_grid import WeightGrid
from bitpick.preprocessing import Arrays

if TYPE_CHECKING:
    import onnx

_WATCHED = 40  # batches that batch norms and ranges start from
_SETTLED = 60  # batches that the statistics of batch norms are the mean of in the end
_AT_ONCE = 500  # held-out samples
_ROOM = 8  # times the memory that a calibration batch may take: a gigabyte
_SMALLEST_BATCH = 16  # batch norms need some samples, however large
_SAME_ANSWERS = 0.9  # pictures are changed if the float network gives this share of the changed ones the same class
_SHIFTED = 8  # pictures are moved by an eighth of their side at most
_FAST = ("amx_bf16", "avx512_bf16")  # CPUs with one of these compute in bfloat16 twice as fast as in float32


class Pupil:
    """A network in training.

    Args:
        source: the clean graph.
        samples: the training split. Labels are used if they are classes and the float network mostly knows them.
        places: which samples of it to train on, and to choose the best epoch on.
        grid: the grid of the weights.
        batch: samples in a batch; fewer if their activations would not fit into memory.
        seed: of the order of the samples and of their changes.

    Attributes:
        module: the network in its training form.
        network: its layers.
        batches: the samples to train on.
        held: the places of those that are held out.
    """

    def __init__(
        self, source: Path, samples: Samples, places: NDArray[np.int64], grid: WeightGrid, batch: int, seed: int
    ) -> None:
        self._model: onnx.ModelProto = onnx_file.load(source)
        self._samples = samples
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        teacher, _ = pytorch_from_onnx.import_with_modules(self._model)
        module, self._modules = pytorch_from_onnx.import_with_modules(self._model)
        softmaxes, _ = without_softmax(teacher), without_softmax(module)
        trained_layers = [layer for layer in trainable(Graph(self._model)) if layer.node.name in self._modules]
        names = {self._modules[layer.node.name]: layer.name for layer in trained_layers}
        self.network = Network(module, names, grid)
        self._teacher = self._placed(teacher).requires_grad_(False)
        self.module = self._placed(module)
        self._labels = self._read_labels()
        trained, self.held = held_out(places, seed)
        self._held_floats = self._outputs(self._teacher)
        held_labels = None if self._labels is None else self._labels[self.held]
        self._objective = Objective(softmaxes, self._held_floats, held_labels)
        fitting = max(_SMALLEST_BATCH, _ROOM * samples.at_once(batch, kept=True))
        self.batches = Batches(samples, trained, min(batch, fitting, len(trained)), seed, self._augmentation())

    @property
    def uses_labels(self) -> bool:
        """Whether labels take part in training."""
        return self._objective.uses_labels

    @property
    def changes(self) -> str:
        """How pictures are changed, in words; empty if they are not."""
        return "" if self.batches.augmentation is None else str(self.batches.augmentation)

    def _read_labels(self) -> torch.Tensor | None:
        """Return the labels of the split, of shape (count,); None if they are not numbers of classes."""
        if self._samples.labels is None:
            return None
        targets = self._samples.targets()
        is_number = targets.ndim == 1 and targets.dtype == np.int64
        return torch.from_numpy(targets).to(self._device) if is_number else None

    def _placed(self, module: fx.GraphModule) -> fx.GraphModule:
        """Return a module on the device, with its weights in the order that convolutions are fastest with."""
        volumes = any(parameter.ndim > 4 for parameter in module.parameters())
        placed: Any = module.to(self._device)
        return placed if volumes else placed.to(memory_format=torch.channels_last)  # type: ignore[no-any-return]

    def _augmentation(self) -> Augmentation | None:
        """Return how to change pictures, if the float network gives changed pictures the same class."""
        shapes = self._samples.shapes
        if not self._objective.has_classes or not are_pictures(shapes):
            return None
        most = sorted(shapes[0])[1] // _SHIFTED
        tried = [Augmentation(flip, shift) for shift in (most, 0) for flip in (True, False) if flip or shift]
        return next((each for each in tried if self._keeps_classes(each)), None)

    def _keeps_classes(self, augmentation: Augmentation) -> bool:
        before, after = self._held_floats[0], self._outputs(self._teacher, augmentation)[0]
        same = before.flatten(1).argmax(1) == after.flatten(1).argmax(1)
        return float(same.float().mean()) >= _SAME_ANSWERS

    def _tensors(self, inputs: Arrays) -> list[torch.Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(each)).to(self._device) for each in inputs]

    @torch.no_grad()
    def _outputs(self, module: fx.GraphModule, augmentation: Augmentation | None = None) -> list[torch.Tensor]:
        """Return a network's outputs for the held-out samples."""
        size, generator, batches = self._samples.at_once(_AT_ONCE), np.random.default_rng(0), []
        for start in range(0, len(self.held), size):
            inputs = self._samples.at(self.held[start : start + size])
            inputs = inputs if augmentation is None else (augmentation.apply(inputs[0], generator),)
            batches.append([each.float() for each in _listed(module(*self._tensors(inputs)))])
        return [torch.cat(each) for each in zip(*batches, strict=True)]

    def start(self) -> None:
        """Measure what the layers give, and bring the network into its training form."""
        self.network.set_mode("watch", "watch")
        with torch.no_grad():
            for _, inputs in islice(self.batches.epoch(0), _WATCHED):
                self.module(*self._tensors(inputs))
        self.network.start()

    def loss(self, places: NDArray[np.int64], inputs: Arrays) -> torch.Tensor:
        """Return the loss of a batch, with its gradients.

        Args:
            places: which samples of the split they are.
            inputs: as the network takes them.
        """
        self.module.train()
        tensors = self._tensors(inputs)
        with self._fast():
            with torch.no_grad():
                floats = _listed(self._teacher(*tensors))
            outputs = _listed(self.module(*tensors))
        return self._objective(outputs, floats, None if self._labels is None else self._labels[places])

    def _fast(self) -> AbstractContextManager[Any]:
        """Return a context that computes in bfloat16 where that is faster."""
        on_cpu = self._device.type == "cpu"
        able = any(torch.cpu.get_capabilities().get(each) for each in _FAST) if on_cpu else _is_fast_gpu()
        return torch.autocast(self._device.type, torch.bfloat16, enabled=able)

    def settle(self) -> None:
        """Replace the moving statistics, which follow the last few batches, by the mean over many."""
        self.module.train()
        with torch.no_grad(), self._fast():
            for number, (_, inputs) in enumerate(islice(self.batches.epoch(0), _SETTLED)):
                self.network.set_momentum(1 / (number + 1))
                self.module(*self._tensors(inputs))
        self.network.set_momentum()

    def held_out_loss(self) -> float:
        """Return the loss of the held-out samples, with moving statistics."""
        self.module.eval()
        labels = None if self._labels is None else self._labels[self.held]
        with torch.no_grad():
            return float(self._objective(self._outputs(self.module), self._held_floats, labels))

    def write(self, out: Path) -> list[str]:
        """Write the clean graph with the trained weights; return the names of the nodes that changed."""
        import onnx

        changed = self.network.store(self._model, self._modules)
        onnx.save(self._model, out)
        return changed


def _is_fast_gpu() -> bool:
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _listed(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    return list(outputs) if isinstance(outputs, tuple) else [outputs]
