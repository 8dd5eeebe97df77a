"""How stored samples become what a model takes: as the user says, else as the model's input tells."""

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


def prepared(dataset: Dataset, options: DataOptions, signature: Signature | None) -> Dataset:
    """The data set with the preprocessing of each input, and what was guessed of it.

    Args:
        dataset: as it is stored; what it knows of decoding stays.
        options: what the user says.
        signature: what the model takes.

    Raises:
        DataError: what is said does not go with what is stored.
    """
    tensors = paired(tuple(dataset.calibration.paths), signature)
    found, notes = {}, list(dataset.notes)
    for name, array in dataset.calibration.inputs.items():
        decoding = dataset.preprocessing.get(name, Preprocessing()).decoding
        tensor = tensors.get(name)
        said = options.pixels(name, tensor.name if tensor else name)
        found[name], told = _one(said, tensor, array.shape[1:], array.dtype, decoding)
        notes += [f"{name}: {each}" if len(dataset.calibration.paths) > 1 else each for each in told]
    return replace(dataset, preprocessing=found, notes=tuple(notes))


def paired(names: Sequence[str], signature: Signature | None) -> dict[str, Tensor]:
    """The model's input that each stored one is for: by name, else in order; none where they do not match."""
    wanted = () if signature is None else signature.inputs
    by_name = {tensor.name: tensor for tensor in wanted}
    if wanted and set(by_name) <= set(names):
        return by_name
    return dict(zip(names, wanted, strict=True)) if len(names) == len(wanted) else {}


def picture(signature: Signature | None) -> Tensor | None:
    """The input of a model that takes pictures; None where no model is known.

    Raises:
        DataError: the model takes none.
    """
    if signature is None:
        return None
    found = next((t for t in signature.inputs if t.shape is None or len(t.shape) == 3), None)
    if found is None:
        told = "; ".join(map(str, signature.inputs))
        raise DataError(
            f"the data set is a folder of pictures, and the model takes {told}",
            expected="an input of shape (batch, height, width, channels) or (batch, channels, height, width)",
        )
    return found


def decoding(options: PixelOptions, tensor: Tensor | None) -> Decoding:
    """How image files become stored samples.

    Raises:
        DataError: nothing says what size they get, or two things say it differently.
    """
    first = _first(options, tensor)
    shape = (None, None, None) if tensor is None or tensor.shape is None else tensor.shape
    height, width, channels = (*shape[1:], shape[0]) if first else shape
    if options.channels is not None:
        channels = 1 if options.channels == "gray" else 3
    if channels not in (1, 3, None):
        raise DataError(f"the model takes {tensor}, pictures of {channels} channels", expected="1 channel or 3")
    asked = options.crop if options.crop is not None else None if height and width else options.resize
    if asked is not None:
        height, width = (asked, asked) if isinstance(asked, int) else asked
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


def _one(
    options: PixelOptions, tensor: Tensor | None, stored: Shape, dtype: np.dtype[Any], decoded: Decoding | None
) -> tuple[Preprocessing, list[str]]:
    """The preprocessing of one input, and what was guessed of it."""
    fields, notes = _arranged(options, tensor, stored)
    (offset, divisor), guessed = values(options, dtype)
    notes += [guessed] if guessed else []
    shape = fields["shape"] or stored
    channels = (shape[0] if fields["stored_channels_first"] else shape[-1]) if shape else 1
    for name, numbers in (("mean", offset), ("std", divisor)):
        if isinstance(numbers, tuple) and len(numbers) != channels:
            raise DataError(
                f"--{name} has {len(numbers)} numbers, and the samples have {channels} channels",
                expected="one number, or one for each channel",
            )
    found = Preprocessing(
        **fields, offset=offset, scale=divisor, reverse_channels=options.channels == "bgr", decoding=decoded
    )
    if decoded is not None:
        notes.insert(0, _picture_words(options, decoded, found, tensor))
    return found, notes


def values(options: PixelOptions, dtype: np.dtype[Any]) -> tuple[tuple[Numbers, Numbers], str]:
    """What is taken off stored values of this dtype, and what then divides them; and what was guessed of it."""
    scale, guessed = _scale(options, dtype)
    mean, std = options.mean or 0.0, 1.0 if options.std is None else options.std
    offset, divisor = _times(mean, scale), _times(std, scale)
    if options.channels == "bgr":  # given in the model's order, used in the stored one
        offset, divisor = (each[::-1] if isinstance(each, tuple) else each for each in (offset, divisor))
    return (offset, divisor), guessed


def _scale(options: PixelOptions, dtype: np.dtype[Any]) -> tuple[float, str]:
    """What values are divided by, and the words where nothing was said about it."""
    if options.scale is not None:
        return options.scale, ""
    numbers = [n for each in (options.mean, options.std) if each is not None for n in np.atleast_1d(each)]
    if numbers and dtype == np.uint8 and max(map(abs, numbers)) <= 2:
        return 255.0, "values divided by 255 before mean and std, as these are small: guessed, --scale overrides it"
    if dtype == np.uint8 and not numbers:
        return 1.0, "values go to the model as they are, 0 to 255: guessed, --scale, --mean and --std override it"
    return 1.0, ""


def _times(number: Numbers, factor: float) -> Numbers:
    return tuple(n * factor for n in number) if isinstance(number, tuple) else number * factor


def _arranged(options: PixelOptions, tensor: Tensor | None, stored: Shape) -> tuple[dict[str, Any], list[str]]:
    """Where the channels are in what is stored and in what the model takes, and what was guessed of it."""
    shape, notes = None, []
    wanted = None if tensor is None else tensor.shape
    if wanted is not None and len(wanted) != len(stored) and None not in wanted:
        sizes = tuple(size for size in wanted if size is not None)
        if int(np.prod(sizes)) == int(np.prod(stored)):
            shape, stored = sizes, sizes
            notes.append(f"each sample's numbers arranged as the model takes them, in the shape {sizes}")
    first, inside = _first(options, tensor), False
    if len(stored) < 2 or wanted is None:
        first = first and options.layout is not None and len(stored) >= 2
    elif fits(stored, wanted):
        inside = first and (
            options.channels == "bgr" or isinstance(options.mean, tuple) or isinstance(options.std, tuple)
        )
        first = inside  # else nothing needs to know where the channels are
    elif options.layout != "channels-last" and fits((stored[-1], *stored[:-1]), wanted):
        first = True
        if options.layout is None:
            notes.append(f"channels moved to the front: the samples have shape {stored}, and the model takes {tensor}")
    elif options.layout != "channels-first" and fits((*stored[1:], stored[0]), wanted):
        first, inside = False, True
        if options.layout is None:
            notes.append(f"channels moved to the end: the samples have shape {stored}, and the model takes {tensor}")
    else:
        first = options.layout == "channels-first"
    return {"shape": shape, "stored_channels_first": inside, "channels_first": first}, notes


def _first(options: PixelOptions, tensor: Tensor | None) -> bool:
    """Whether the model takes its channels first: as is said, or where an axis of 1, 3 or 4 looks like them.

    Raises:
        DataError: what is said is not what the shape of its input shows.
    """
    shape = None if tensor is None else tensor.shape
    if shape is None or len(shape) != 3:
        return options.layout == "channels-first"
    few = (1, 3, 4)
    first = shape[0] in few and (shape[2] not in few or shape[1] == shape[2])
    if options.layout is None:
        return first
    shown = "channels-first" if first else "channels-last"
    if options.layout != shown and (shape[0] in few) != (shape[2] in few):
        raise DataError(
            f"the model takes {tensor}, which is {shown}, and --layout says {options.layout}",
            fix=f"leave --layout out, or say {shown}; samples that are stored otherwise are turned",
        )
    return options.layout == "channels-first"


def _picture_words(options: PixelOptions, decoded: Decoding, found: Preprocessing, tensor: Tensor | None) -> str:
    """What is done to pictures, in a line."""
    how = {"stretch": "stretched to", "crop": "with the middle cropped to", "pad": "padded to"}[decoded.fit]
    resized = f"with the shorter side resized to {decoded.resize} and the middle cropped to"
    colours = "gray" if decoded.channels == 1 else "bgr" if found.reverse_channels else "rgb"
    layout = "channels-first" if found.channels_first else "channels-last"
    guessed = [
        name
        for name, said in (
            ("size", options.resize or options.crop),
            ("fit", options.fit or options.crop or options.resize),
            ("channels", options.channels),
            ("layout", options.layout),
        )
        if said is None
    ]
    why = f" ({', '.join(guessed)} guessed from the model's input {tensor})" if guessed and tensor else ""
    size = f"{decoded.height} × {decoded.width}"
    return f"pictures {resized if decoded.resize else how} {size}, {colours}, {layout}{why}"
