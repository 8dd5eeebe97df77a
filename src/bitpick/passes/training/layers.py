"""A layer in its training form: weights on a grid, and a batch norm behind it.

A clean graph has no batch norms, and without them training on a grid needs learning rates a tenth as large. So one is
put in with the statistics that the layer's output has on training samples, which makes it the identity, and it is
folded again at the end. Weights on a grid of each channel stay on it when the channel is scaled. As a batch norm undoes
any scale of a channel, the channels are scaled to norm 1 beforehand: then one learning rate fits every model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from bitpick.passes.training.quantizers import least_error_step, on_grid, reaching_end

Mode = Literal["plain", "watch", "train"]
"""The layer as it was, as it was while its output is measured, or its training form."""
MOMENTUM = 0.1
_EPSILON = 1e-5  # of the mean variance
_QUIET = 1e-3  # of the mean deviation: a channel that hardly varies is not scaled up further
_SMALLEST = 1e-12
_CONVOLUTIONS: dict[int, Callable[..., torch.Tensor]] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


def is_layer(module: nn.Module) -> bool:
    """Return whether a module has a training form."""
    zero_padded = getattr(module, "padding_mode", "zeros") == "zeros"
    return zero_padded and type(module) in (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def is_depthwise(module: nn.Module) -> bool:
    """Return whether a layer convolves each input channel alone."""
    return getattr(module, "groups", 1) > 1 and module.weight.shape[1] == 1  # type: ignore[index,return-value]


class TrainedLayer(nn.Module):
    """The training form of a convolution or linear layer.

    Args:
        inner: the layer.
        levels: the largest multiple of the grid; None to train without one.
        normed: whether to put in a batch norm. The last layers have none: their outputs must not depend on the batch.
        lopsided: whether the grid is, see `WeightGrid`.

    Attributes:
        weight: the weights, of shape (channels, …), in units of `input_scale` if there is no batch norm.
        bias: what the batch norm adds, or the bias.
        former_bias: the layer's bias before training.
        gain: what the batch norm multiplies by; None without one.
        step: the step of each channel's grid.
        momentum: the weight of a batch in the moving statistics.
    """

    former_bias: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor
    input_scale: torch.Tensor
    epsilon: torch.Tensor

    def __init__(self, inner: nn.Module, levels: int | None, normed: bool, lopsided: bool = False) -> None:
        super().__init__()
        weight, bias = inner.weight.detach().clone(), inner.bias  # type: ignore[operator]
        assert isinstance(weight, torch.Tensor)
        self.levels, self.lopsided, self.normed = levels, lopsided, normed
        self.mode: Mode = "plain"
        self.momentum = MOMENTUM
        self._settings: dict[str, Any] | None = None
        if not isinstance(inner, nn.Linear):
            self._settings = {name: getattr(inner, name) for name in ("stride", "padding", "dilation", "groups")}
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(weight.new_zeros(len(weight)) if bias is None else bias.detach().clone())  # type: ignore[operator]
        self.gain = nn.Parameter(torch.ones_like(self.bias)) if normed else None
        self.step = None if levels is None else nn.Parameter(self._by_channel(torch.ones_like(self.bias)))
        self.register_buffer("former_bias", self.bias.detach().clone())
        self.register_buffer("mean", torch.zeros_like(self.bias))
        self.register_buffer("variance", torch.ones_like(self.bias))
        self.register_buffer("input_scale", torch.ones(()))
        self.register_buffer("epsilon", torch.zeros(()))
        self._seen: list[torch.Tensor] = []

    def _by_channel(self, values: torch.Tensor) -> torch.Tensor:
        return values.detach().reshape(-1, *[1] * (self.weight.ndim - 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        if self.mode != "train":
            output = self._product(inputs, self.weight, self.bias)
            if self.mode == "watch":
                self._watch(inputs, output)
            return output
        weight = self._rounded()
        if self.gain is None:
            return self._product(inputs / self.input_scale, weight, self.bias)
        product = self._product(inputs, weight, None)
        flat = product.flatten(0, -2) if self._settings is None else product
        normed = F.batch_norm(
            flat, self.mean, self.variance, self.gain, self.bias, self.training, self.momentum, float(self.epsilon)
        )
        return normed.reshape(product.shape)

    def _product(self, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if self._settings is None:
            return F.linear(inputs, weight, bias)
        return _CONVOLUTIONS[weight.ndim](inputs, weight, bias, **self._settings)

    def _rounded(self) -> torch.Tensor:
        if self.step is None or self.levels is None:
            return self.weight
        return on_grid(self.weight, reaching_end(self.weight, self.step, self.levels), self.levels, self.lopsided)

    def _watch(self, inputs: torch.Tensor, output: torch.Tensor) -> None:
        """Note mean and mean square of each output channel, and the mean square of the input."""
        channel = output.ndim - 1 if self._settings is None else 1
        axes = [axis for axis in range(output.ndim) if axis != channel]
        output, inputs = output.detach().double(), inputs.detach().double()
        square = inputs.square().mean().expand(len(self.bias))
        self._seen.append(torch.stack([output.mean(axes), output.square().mean(axes), square]))

    @torch.no_grad()
    def start(self) -> None:
        """Put in the batch norm that is the identity on the batches that were watched."""
        mean, square, of_input = torch.stack(self._seen).mean(0)
        self._seen = []
        self.mode = "train"
        if self.gain is None:
            self.input_scale.fill_(of_input[0].sqrt().clamp_min(_SMALLEST))
            self.weight.mul_(self.input_scale)
        else:
            norm = self.weight.double().flatten(1).norm(dim=1).clamp_min(_SMALLEST)
            deviation = (square - mean.square()).clamp_min(0).sqrt()
            deviation = torch.maximum(deviation, (_QUIET * deviation.mean()).clamp_min(_SMALLEST))
            variance = (deviation / norm).square()
            self.epsilon.copy_(_EPSILON * variance.mean())
            self.weight.div_(self._by_channel(norm))
            self.mean.copy_((mean - self.bias) / norm)
            self.variance.copy_(variance)
            self.gain.copy_((variance + self.epsilon).sqrt() * norm)
            self.bias.copy_(mean)
        if self.step is not None and self.levels is not None:
            self.step.copy_(least_error_step(self.weight, self.levels))

    @torch.no_grad()
    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights, on their grid, and bias of the plain layer that does the same, in float64."""
        weight, bias = self._rounded().double(), self.bias.double()
        if self.gain is None:
            return weight / self.input_scale, bias
        factor = self.gain.double() / (self.variance.double() + self.epsilon).sqrt()
        return weight * self._by_channel(factor), bias - self.mean.double() * factor

    def scale(self, parameter: nn.Parameter) -> float:
        """Return how large a parameter's values are: the gain and bias of a batch norm are as large as the gain."""
        of_norm = self.gain is not None and (parameter is self.gain or parameter is self.bias)
        values = self.gain if self.gain is not None and of_norm else parameter
        return max(float(values.detach().square().mean().sqrt()), _SMALLEST)
