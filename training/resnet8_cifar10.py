"""Train the bundled model: MLPerf Tiny's ResNet8 architecture on CIFAR-10's training split.

    python training/resnet8_cifar10.py train --checkpoint resnet8.pt     # resumes where it was
    python training/resnet8_cifar10.py export --checkpoint resnet8.pt -o resnet8_cifar10.keras
    python training/resnet8_cifar10.py --smoke                           # both, on random pictures

The network is trained in PyTorch, which is faster than Keras on a CPU, and shipped as Keras. The test split takes no
part in training or in the choice of an epoch: the last epoch is the model.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from bitpick.datasets import cifar10
from bitpick.datasets.dataset import Split

if TYPE_CHECKING:
    import keras

SEED = 0
EPOCHS = 150
BATCH = 128
PEAK_LEARNING_RATE = 0.2
WEIGHT_DECAY = 2e-4
# Pixels are divided by this in training and the division is folded into the first convolution for export, so that the
# shipped model takes raw 0-255. No mean is taken off: behind zero padding a shift could not be folded exactly.
PIXEL_SCALE = 64.0
PADDING = 4
BATCH_NORM_EPSILON = 1e-3  # Keras's default
EXPORT_TOLERANCE = 1e-3  # of a probability


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding, which pads only right and bottom at stride 2 on even sizes."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride)
        total = kernel - stride if kernel > stride else 0
        self.pads = (total // 2, total - total // 2) * 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(x, self.pads) if any(self.pads) else x)


class Stack(nn.Module):
    """One residual stack: two 3×3 convolutions beside the identity, or a 1×1 convolution where the size changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv_a = SameConv(inputs, outputs, 3, stride)
        self.norm_a = nn.BatchNorm2d(outputs, BATCH_NORM_EPSILON)
        self.conv_b = SameConv(outputs, outputs, 3)
        self.norm_b = nn.BatchNorm2d(outputs, BATCH_NORM_EPSILON)
        self.shortcut = SameConv(inputs, outputs, 1, stride) if stride > 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm_b(self.conv_b(F.relu(self.norm_a(self.conv_a(x)))))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet8(nn.Module):
    """The network in training form: scaled pixels in, logits of shape (n, 10) out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = SameConv(3, 16, 3)
        self.norm = nn.BatchNorm2d(16, BATCH_NORM_EPSILON)
        self.stacks = nn.Sequential(Stack(16, 16, 1), Stack(16, 32, 2), Stack(32, 64, 2))
        self.dense = nn.Linear(64, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stacks(F.relu(self.norm(self.conv(x))))
        return self.dense(x.mean(dim=(2, 3)))


def batches(
    images: np.ndarray, labels: np.ndarray, generator: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of shuffled, randomly cropped and flipped batches.

    Args:
        images: array of shape (n, 40, 40, 3), uint8, already padded.
        labels: array of shape (n,), uint8.
        generator: the source of the order, crops and flips.

    Yields:
        Scaled pixels of shape (128, 3, 32, 32), float32, channels last, and labels of shape (128,), int64.
    """
    order = generator.permutation(len(images))
    side = images.shape[1] - 2 * PADDING
    steps = np.arange(side)
    for start in range(0, len(order) - BATCH + 1, BATCH):
        index = np.sort(order[start : start + BATCH])
        top, left = generator.integers(0, 2 * PADDING + 1, (2, BATCH))
        columns = np.where(generator.random(BATCH)[:, None] < 0.5, steps, steps[::-1]) + left[:, None]
        crop = images[index[:, None, None], (top[:, None] + steps)[:, :, None], columns[:, None, :]]
        pixels = torch.from_numpy(crop).permute(0, 3, 1, 2).float().div_(PIXEL_SCALE)
        yield pixels, torch.from_numpy(labels[index].astype(np.int64))


def arrays(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The images and the labels of a split."""
    return np.asarray(split.inputs["image"]), np.asarray(split.labels)


def probabilities(network: ResNet8, images: np.ndarray) -> np.ndarray:
    """What the network in float32 gives, of shape (n, 10), for images of shape (n, 32, 32, 3), uint8."""
    network.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), 1000):
            pixels = torch.from_numpy(images[start : start + 1000]).permute(0, 3, 1, 2).float() / PIXEL_SCALE
            found.append(network(pixels).softmax(1).numpy())
    return np.concatenate(found)


def train(checkpoint: Path, epochs: int, images: np.ndarray, labels: np.ndarray) -> None:
    """Train to the last epoch, saving after each one; continues from the checkpoint when there is one."""
    torch.manual_seed(SEED)
    padded = np.pad(images, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    network = ResNet8().to(memory_format=torch.channels_last)
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    optimizer = torch.optim.SGD(
        [{"params": weights, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=PEAK_LEARNING_RATE,
        momentum=0.9,
        nesterov=True,
    )
    per_epoch = len(padded) // BATCH
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, total_steps=epochs * per_epoch, cycle_momentum=False
    )
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        first = state["epoch"] + 1
    for epoch in range(first, epochs):
        began = time.perf_counter()
        network.train()
        total = torch.zeros(())
        for pixels, target in batches(padded, labels, np.random.default_rng([SEED, epoch])):
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(network(pixels), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.detach()
        mean = float(total) / per_epoch
        if not math.isfinite(mean):
            raise RuntimeError(f"the loss is {mean} in epoch {epoch}")
        state = {
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "epoch": epoch,
        }
        torch.save(state, partial := checkpoint.with_suffix(".partial"))
        partial.replace(checkpoint)
        print(f"epoch {epoch + 1}/{epochs}: loss {mean:.4f}, {time.perf_counter() - began:.1f} s", flush=True)


def keras_model() -> keras.Model:
    """The untrained Keras form: input of shape (n, 32, 32, 3), raw 0-255; output (n, 10), probabilities."""
    import keras
    from keras import layers

    def convolution(x: Any, name: str, filters: int, kernel: int, stride: int = 1) -> Any:
        return layers.Conv2D(filters, kernel, strides=stride, padding="same", name=name)(x)

    def norm(x: Any, name: str) -> Any:
        return layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=name)(x)

    image = keras.Input((32, 32, 3), name="image")
    x = layers.ReLU(name="relu")(norm(convolution(image, "conv", 16, 3), "norm"))
    for i, (filters, stride) in enumerate([(16, 1), (32, 2), (64, 2)]):
        stem = f"stacks_{i}"
        y = convolution(x, f"{stem}_conv_a", filters, 3, stride)
        y = layers.ReLU(name=f"{stem}_relu_a")(norm(y, f"{stem}_norm_a"))
        y = norm(convolution(y, f"{stem}_conv_b", filters, 3), f"{stem}_norm_b")
        side = convolution(x, f"{stem}_shortcut", filters, 1, stride) if stride > 1 else x
        x = layers.ReLU(name=f"{stem}_relu_b")(layers.Add(name=f"{stem}_add")([y, side]))
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D(8, name="pool")(x))
    return keras.Model(image, layers.Dense(10, activation="softmax", name="dense")(x), name="resnet8_cifar10")


def export(checkpoint: Path, out: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Copy a checkpoint into Keras, fold the pixel scale, save, and print both accuracies on these images.

    Raises:
        RuntimeError: the two do not give the same.
    """
    network = ResNet8()
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    model = keras_model()
    for name, module in network.named_modules():
        key = name.replace(".", "_")
        if isinstance(module, nn.Conv2d):
            kernel = module.weight.detach().permute(2, 3, 1, 0).numpy()
            scale = PIXEL_SCALE if name == "conv" else 1.0
            model.get_layer(key).set_weights([kernel / scale, module.bias.detach().numpy()])
        elif isinstance(module, nn.BatchNorm2d):
            values = (module.weight, module.bias, module.running_mean, module.running_var)
            model.get_layer(key).set_weights([v.detach().numpy() for v in values if v is not None])
        elif isinstance(module, nn.Linear):
            model.get_layer(key).set_weights([module.weight.detach().numpy().T, module.bias.detach().numpy()])
    model.save(out)
    trained, exported = probabilities(network, images), model.predict(images.astype(np.float32), 1000, verbose=0)
    print(f"{model.count_params():,} parameters, saved to {out}")
    print(
        f"test accuracy: {(trained.argmax(1) == labels).mean():.4f} (PyTorch), "
        f"{(exported.argmax(1) == labels).mean():.4f} (Keras)"
    )
    if (most := np.abs(trained - exported).max()) > EXPORT_TOLERANCE:
        raise RuntimeError(f"the exported model's probabilities differ from the trained one's by up to {most:.2g}")


def smoke() -> None:
    """Train on random pictures, go on from the checkpoint, where nothing is left to do, and export."""
    rng = np.random.default_rng(SEED)
    images, labels = rng.integers(0, 256, (2 * BATCH, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 2 * BATCH)
    with tempfile.TemporaryDirectory() as name:
        checkpoint = Path(name) / "resnet8.pt"
        for _ in range(2):
            train(checkpoint, 1, images, labels)
        export(checkpoint, Path(name) / "resnet8.keras", images, labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="train and export on random pictures; keep nothing")
    commands = parser.add_subparsers(dest="command")
    training = commands.add_parser("train")
    training.add_argument("--checkpoint", type=Path, required=True)
    training.add_argument("--epochs", type=int, default=EPOCHS)
    exporting = commands.add_parser("export")
    exporting.add_argument("--checkpoint", type=Path, required=True)
    exporting.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.smoke:
        smoke()
    elif arguments.command == "train":
        train(arguments.checkpoint, arguments.epochs, *arrays(cifar10.load().calibration))
    elif arguments.command == "export":
        export(arguments.checkpoint, arguments.out, *arrays(cifar10.load().evaluation))
    else:
        parser.error("say train, export or --smoke")


if __name__ == "__main__":
    main()
