"""Decide how stored samples become what a model takes: by the user's options, otherwise by the model's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from bitpick.datasets.dataset import Dataset
from bitpick.datasets.options import DataOptions, PixelOptions
from bitpick.errors import DataError
from bitpick.models.model import Signature, Tensor, fits
from bitpick.preprocessing import Decoding, Preprocessing

Shape = tuple[int, ...]
Numbers = float | tuple[float, ...]


def with_preprocessing(dataset: Dataset, options: DataOptions, signature: Signature | None) -> Dataset:
    """Return the data set with the preprocessing of each input, and notes on what was guessed.

    Args:
        dataset: the data set as stored; its decoding is kept.
        options: the user's options.
        signature: inputs of the model.

    Raises:
        DataError: the options do not fit the stored samples.
    """
    tensors = match_inputs(tuple(dataset.calibration.paths), signature)
    preprocessing, notes = {}, list(dataset.notes)
    for name, array in dataset.calibration.inputs.items():
        decoding = dataset.preprocessing.get(name, Preprocessing()).decoding
        tensor = tensors.get(name)
        pixels = options.pixels(name, tensor.name if tensor else name)
        preprocessing[name], guesses = _preprocessing(pixels, tensor, array.shape[1:], array.dtype, decoding)
        notes += [f"{name}: {each}" if len(dataset.calibration.paths) > 1 else each for each in guesses]
    return replace(dataset, preprocessing=preprocessing, notes=tuple(notes))


def match_inputs(names: Sequence[str], signature: Signature | None) -> dict[str, Tensor]:
    """Match stored inputs to the model's: by name, otherwise in order; empty if they do not match."""
    wanted = () if signature is None else signature.inputs
    by_name = {tensor.name: tensor for tensor in wanted}
    if wanted and set(by_name) <= set(names):
        return by_name
    return dict(zip(names, wanted, strict=True)) if len(names) == len(wanted) else {}


def picture_input(signature: Signature | None) -> Tensor | None:
    """Return the model's input for pictures; None if there is no model.

    Raises:
        DataError: the model does not take pictures.
    """
    if signature is None:
        return None
    tensor = next((t for t in signature.inputs if t.shape is None or len(t.shape) == 3), None)
    if tensor is None:
        inputs = "; ".join(map(str, signature.inputs))
        raise DataError(
            f"the data set is a folder of pictures, and the model takes {inputs}",
            expected="an input of shape (batch, height, width, channels) or (batch, channels, height, width)",
        )
    return tensor


def decoding(options: PixelOptions, tensor: Tensor | None) -> Decoding:
    """Decide how image files become stored samples.

    Raises:
        DataError: nothing determines their size, or options and model contradict each other.
    """
    first = _takes_channels_first(options, tensor)
    shape = (None, None, None) if tensor is None or tensor.shape is None else tensor.shape
    height, width, channels = (*shape[1:], shape[0]) if first else shape
    if options.channels is not None:
        channels = 1 if options.channels == "gray" else 3
    if channels not in (1, 3, None):
        raise DataError(f"the model takes {tensor}, pictures of {channels} channels", expected="1 channel or 3")
    size = options.crop if options.crop is not None else None if height and width else options.resize
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
    if height is None or width is None:
        raise DataError(
            "nothing says what size the pictures get"
            + (f": the model takes {tensor}" if tensor else ", without a model"),
            fix="give it as --resize HEIGHTxWIDTH",
        )
    fit, side = options.fit, options.resize if isinstance(options.resize, int) else None
    if fit is None:
        cropped = options.crop is not None or (side is not None and (side, side) != (height, width))
        fit = "crop" if cropped else "stretch"
    if side is not None and fit == "crop" and side < max(height, width):
        raise DataError(
            f"a shorter side of {side} leaves no middle of {height} × {width} to crop",
            expected=f"--resize {max(height, width)} or more",
        )
    if isinstance(options.resize, tuple) and (height, width) != options.resize:
        raise DataError(
            f"--resize {options.resize[0]}x{options.resize[1]} is not the size {height}x{width} that the model takes",
            fix="leave it out; to crop the middle, give the length of the shorter side: --resize 256",
        )
    shorter = side if fit == "crop" and side is not None and side != min(height, width) else None
    kind: Literal[1, 3] = 1 if channels == 1 else 3
    return Decoding(
        height=height, width=width, channels=kind, fit=fit, resize=shorter, interpolation=options.interpolation
    )


def _preprocessing(
    options: PixelOptions, tensor: Tensor | None, stored: Shape, dtype: np.dtype[Any], decoded: Decoding | None
) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing of one input, and notes on what was guessed."""
    fields, notes = _layout(options, tensor, stored)
    (offset, divisor), guess = offset_and_divisor(options, dtype)
    notes += [guess] if guess else []
    shape = fields["shape"] or stored
    channels = (shape[0] if fields["stored_channels_first"] else shape[-1]) if shape else 1
    for name, numbers in (("mean", offset), ("std", divisor)):
        if isinstance(numbers, tuple) and len(numbers) != channels:
            raise DataError(
                f"--{name} has {len(numbers)} numbers, and the samples have {channels} channels",
                expected="one number, or one for each channel",
            )
    preprocessing = Preprocessing(
        **fields, offset=offset, scale=divisor, reverse_channels=options.channels == "bgr", decoding=decoded
    )
    if decoded is not None:
        notes.insert(0, _picture_note(options, decoded, preprocessing, tensor))
    return preprocessing, notes


def offset_and_divisor(options: PixelOptions, dtype: np.dtype[Any]) -> tuple[tuple[Numbers, Numbers], str]:
    """Return the offset subtracted from stored values of this dtype, their divisor, and a note on what was guessed."""
    scale, guessed = _scale(options, dtype)
    mean, std = options.mean or 0.0, 1.0 if options.std is None else options.std
    offset, divisor = _scaled(mean, scale), _scaled(std, scale)
    if options.channels == "bgr":  # options list channels in the model's order, preprocessing needs the stored one
        offset, divisor = (each[::-1] if isinstance(each, tuple) else each for each in (offset, divisor))
    return (offset, divisor), guessed


def _scale(options: PixelOptions, dtype: np.dtype[Any]) -> tuple[float, str]:
    """Return the divisor of stored values, and a note if it was guessed."""
    if options.scale is not None:
        return options.scale, ""
    numbers = [n for each in (options.mean, options.std) if each is not None for n in np.atleast_1d(each)]
    if numbers and dtype == np.uint8 and max(map(abs, numbers)) <= 2:
        return 255.0, "values divided by 255 before mean and std, as these are small: guessed, --scale overrides it"
    if dtype == np.uint8 and not numbers:
        return 1.0, "values go to the model as they are, 0 to 255: guessed, --scale, --mean and --std override it"
    return 1.0, ""


def _scaled(number: Numbers, factor: float) -> Numbers:
    return tuple(n * factor for n in number) if isinstance(number, tuple) else number * factor


def _layout(options: PixelOptions, tensor: Tensor | None, stored: Shape) -> tuple[dict[str, Any], list[str]]:
    """Return the channel axes of stored samples and of the model's input, and notes on what was guessed."""
    shape, notes = None, []
    wanted = None if tensor is None else tensor.shape
    if wanted is not None and len(wanted) != len(stored) and None not in wanted:
        sizes = tuple(size for size in wanted if size is not None)
        if int(np.prod(sizes)) == int(np.prod(stored)):
            shape, stored = sizes, sizes
            notes.append(f"each sample's numbers arranged as the model takes them, in the shape {sizes}")
    channels_first, stored_channels_first = _takes_channels_first(options, tensor), False
    if len(stored) < 2 or wanted is None:
        channels_first = channels_first and options.layout is not None and len(stored) >= 2
    elif fits(stored, wanted):
        stored_channels_first = channels_first and (
            options.channels == "bgr" or isinstance(options.mean, tuple) or isinstance(options.std, tuple)
        )
        channels_first = stored_channels_first  # otherwise the position of the channels does not matter
    elif options.layout != "channels-last" and fits((stored[-1], *stored[:-1]), wanted):
        channels_first = True
        if options.layout is None:
            notes.append(f"channels moved to the front: the samples have shape {stored}, and the model takes {tensor}")
    elif options.layout != "channels-first" and fits((*stored[1:], stored[0]), wanted):
        channels_first, stored_channels_first = False, True
        if options.layout is None:
            notes.append(f"channels moved to the end: the samples have shape {stored}, and the model takes {tensor}")
    else:
        channels_first = options.layout == "channels-first"
    return {"shape": shape, "stored_channels_first": stored_channels_first, "channels_first": channels_first}, notes


def _takes_channels_first(options: PixelOptions, tensor: Tensor | None) -> bool:
    """Whether the model takes channels first: by `layout`, otherwise by which axis has 1, 3 or 4 entries.

    Raises:
        DataError: `layout` contradicts the shape of the model's input.
    """
    shape = None if tensor is None else tensor.shape
    if shape is None or len(shape) != 3:
        return options.layout == "channels-first"
    channel_counts = (1, 3, 4)
    first = shape[0] in channel_counts and (shape[2] not in channel_counts or shape[1] == shape[2])
    if options.layout is None:
        return first
    apparent = "channels-first" if first else "channels-last"
    if options.layout != apparent and (shape[0] in channel_counts) != (shape[2] in channel_counts):
        raise DataError(
            f"the model takes {tensor}, which is {apparent}, and --layout says {options.layout}",
            fix=f"leave --layout out, or say {apparent}; samples that are stored otherwise are turned",
        )
    return options.layout == "channels-first"


def _picture_note(options: PixelOptions, decoded: Decoding, preprocessing: Preprocessing, tensor: Tensor | None) -> str:
    """Return a note on how pictures are prepared."""
    how = {"stretch": "stretched to", "crop": "with the middle cropped to", "pad": "padded to"}[decoded.fit]
    resized = f"with the shorter side resized to {decoded.resize} and the middle cropped to"
    colours = "gray" if decoded.channels == 1 else "bgr" if preprocessing.reverse_channels else "rgb"
    layout = "channels-first" if preprocessing.channels_first else "channels-last"
    guessed = [
        name
        for name, value in (
            ("size", options.resize or options.crop),
            ("fit", options.fit or options.crop or options.resize),
            ("channels", options.channels),
            ("layout", options.layout),
        )
        if value is None
    ]
    reason = f" ({', '.join(guessed)} guessed from the model's input {tensor})" if guessed and tensor else ""
    size = f"{decoded.height} × {decoded.width}"
    return f"pictures {resized if decoded.resize else how} {size}, {colours}, {layout}{reason}"
