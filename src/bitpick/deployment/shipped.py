"""What a deployer finds beside the files of a build: labels, a program that runs it, and what its engine adds."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bitpick.engines.engine import Build, Engine
from bitpick.models.interface import Input, Interface
from bitpick.preprocessing import Decoding, Preprocessing
from bitpick.version import installed_version

LABELS_FILE = "labels.txt"
RUN_FILE = "run.py"


def write(engine: Engine, build: Build, interface: Interface) -> None:
    """Write into a build's folder what a deployer needs beside its files. None of it counts to the build's size.

    Args:
        engine: the build's engine.
        build: the build; its files are there.
        interface: what goes in and comes out.
    """
    texts: dict[str, str] = {}
    if interface.classes:
        texts[LABELS_FILE] = "".join(f"{' '.join(name.split())}\n" for name in interface.classes)
    if engine.runner is not None and all(each.shape is not None for each in interface.inputs):
        texts[RUN_FILE] = run_py(engine.runner, build, interface)
        more = getattr(importlib.import_module(engine.runner), "companions", None)
        texts |= {} if more is None else more(build.main)
    for name, text in texts.items():
        (build.folder / name).write_text(text, encoding="utf-8")


def run_py(runner: str, build: Build, interface: Interface) -> str:
    """A program that runs a build with its runtime alone.

    Args:
        runner: the module of `Engine.runner`.
        build: the build.
        interface: what goes in and comes out.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bitpick.deployment", "."),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Python, of which every value is a literal
    )
    environment.filters["literal"] = literal
    opens = importlib.import_module(runner).Build
    inputs = [_input(each) for each in interface.inputs]
    decoding = _decoding(interface.inputs)
    text = environment.get_template("run.py.jinja").render(
        recipe=build.recipe.id,
        files=list(build.files),
        settings=dict(build.settings),
        inputs=inputs,
        outputs=[each.name for each in interface.outputs],
        scores=interface.output,
        labels=bool(interface.classes),
        one_score=len(interface.classes) == 2 and interface.signature.outputs[interface.output].count == 1,
        threshold=interface.threshold,
        decoding=decoding,
        steps={step for each in inputs for step in each},
        sample=_words(interface.inputs, decoding is not None),
        needs=_needs(["numpy", *opens.packages], decoding is not None),
        opens=inspect.getsource(opens),
    )
    return f"{text}\n"


def literal(value: Any) -> str:
    """A value as Python writes it, with the quotes of this code."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple) and len(value) != 1:
        return "(" + ", ".join(map(literal, value)) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def _needs(packages: Sequence[str], pictures: bool) -> str:
    """What must be installed, with the versions that made the build."""
    found = [f"{name} {version}" for name in packages if (version := installed_version(name))]
    return ", ".join(found) + (", and Pillow for pictures" if pictures else "")


def _words(inputs: Sequence[Input], pictures: bool) -> str:
    """What a sample is."""
    if len(inputs) > 1:
        return "a .npz file with an array for each input, by its name"
    return "a .npy file or a picture" if pictures else "a .npy file"


def _stored_shape(each: Input) -> tuple[int | None, ...]:
    """The shape of a stored sample of an input."""
    if each.preprocessing.shape is not None and each.stored_shape is not None:
        return each.stored_shape
    shape = _channels_last(each)
    return (*shape[-1:], *shape[:-1]) if each.preprocessing.stored_channels_first else shape


def _channels_last(each: Input) -> tuple[int | None, ...]:
    """The shape of a sample of an input with its channels last, as the steps have it."""
    assert each.shape is not None
    first = each.preprocessing.channels_first and len(each.shape) > 1
    return (*each.shape[1:], each.shape[0]) if first else each.shape


def _input(each: Input) -> dict[str, Any]:
    """What `run.py` must know of an input."""
    shape = _stored_shape(each)
    return {"name": each.name, "shape": shape, "dtype": each.preprocessing.dtype} | _steps(each.preprocessing)


def _steps(preprocessing: Preprocessing) -> dict[str, Any]:
    """The steps that a sample takes, with their numbers."""
    steps: dict[str, Any] = {} if preprocessing.shape is None else {"arranged": preprocessing.shape}
    if (preprocessing.offset, preprocessing.scale) != (0.0, 1.0):
        steps |= {"offset": preprocessing.offset, "scale": preprocessing.scale}
    moves = ("stored_channels_first", "reverse_channels", "channels_first")
    return steps | {name: True for name in moves if getattr(preprocessing, name)}


def _decoding(inputs: Sequence[Input]) -> Decoding | None:
    """How a picture becomes a sample; where nobody said, and samples are pixels, it is stretched to their size."""
    known = inputs[0].preprocessing.decoding
    shape = _channels_last(inputs[0])
    if known is not None or len(inputs) > 1 or len(shape) != 3:
        return known if len(inputs) == 1 else None
    height, width, channels = shape
    if inputs[0].stored != "uint8" or height is None or width is None or channels not in (1, 3):
        return None
    return Decoding(height=height, width=width, channels=1 if channels == 1 else 3)
