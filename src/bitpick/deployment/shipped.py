"""What a deployer finds beside the files of a build: labels, a program that runs it, and extras of its engine."""

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
    """Write the extra files that a deployer needs into a build's folder. They do not count towards the build's size.

    Args:
        engine: the build's engine.
        build: the build, with its files written.
        interface: the model's inputs and outputs.
    """
    texts: dict[str, str] = {}
    if interface.classes:
        texts[LABELS_FILE] = "".join(f"{' '.join(name.split())}\n" for name in interface.classes)
    if engine.runner is not None and all(each.shape is not None for each in interface.inputs):
        texts[RUN_FILE] = run_py(engine.runner, build, interface)
        companions = getattr(importlib.import_module(engine.runner), "companions", None)
        texts |= {} if companions is None else companions(build.main)
    for name, text in texts.items():
        (build.folder / name).write_text(text, encoding="utf-8")


def run_py(runner: str, build: Build, interface: Interface) -> str:
    """Return the source of a program that runs a build with nothing but its runtime.

    Args:
        runner: the module named by `Engine.runner`.
        build: the build.
        interface: the model's inputs and outputs.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bitpick.deployment", "."),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - the output is Python, and every value is a literal
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
        sample=_sample_description(interface.inputs, decoding is not None),
        needs=_needs(["numpy", *opens.packages], decoding is not None),
        opens=inspect.getsource(opens),
    )
    return f"{text}\n"


def literal(value: Any) -> str:
    """Return a value as Python source, with double quotes."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple) and len(value) != 1:
        return "(" + ", ".join(map(literal, value)) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def _needs(packages: Sequence[str], images: bool) -> str:
    """Return the packages that must be installed, with the versions that made the build."""
    requirements = [f"{name} {version}" for name in packages if (version := installed_version(name))]
    return ", ".join(requirements) + (", and Pillow for pictures" if images else "")


def _sample_description(inputs: Sequence[Input], images: bool) -> str:
    """Describe a sample file."""
    if len(inputs) > 1:
        return "a .npz file with an array for each input, by its name"
    return "a .npy file or a picture" if images else "a .npy file"


def _stored_shape(input_: Input) -> tuple[int | None, ...]:
    """Return the shape of a stored sample of an input."""
    if input_.preprocessing.shape is not None and input_.stored_shape is not None:
        return input_.stored_shape
    shape = _channels_last(input_)
    return (*shape[-1:], *shape[:-1]) if input_.preprocessing.stored_channels_first else shape


def _channels_last(input_: Input) -> tuple[int | None, ...]:
    """Return the shape of a sample of an input with its channels last, as in the preprocessing steps."""
    assert input_.shape is not None
    channels_first = input_.preprocessing.channels_first and len(input_.shape) > 1
    return (*input_.shape[1:], input_.shape[0]) if channels_first else input_.shape


def _input(input_: Input) -> dict[str, Any]:
    """Return what `run.py` must know about an input."""
    shape = _stored_shape(input_)
    return {"name": input_.name, "shape": shape, "dtype": input_.preprocessing.dtype} | _steps(input_.preprocessing)


def _steps(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return the preprocessing steps of a sample, with their parameters."""
    steps: dict[str, Any] = {} if preprocessing.shape is None else {"arranged": preprocessing.shape}
    if (preprocessing.offset, preprocessing.scale) != (0.0, 1.0):
        steps |= {"offset": preprocessing.offset, "scale": preprocessing.scale}
    flags = ("stored_channels_first", "reverse_channels", "channels_first")
    return steps | {name: True for name in flags if getattr(preprocessing, name)}


def _decoding(inputs: Sequence[Input]) -> Decoding | None:
    """Return how an image becomes a sample; by default it is stretched to the size of samples that are pixels."""
    decoding = inputs[0].preprocessing.decoding
    shape = _channels_last(inputs[0])
    if decoding is not None or len(inputs) > 1 or len(shape) != 3:
        return decoding if len(inputs) == 1 else None
    height, width, channels = shape
    if inputs[0].stored != "uint8" or height is None or width is None or channels not in (1, 3):
        return None
    return Decoding(height=height, width=width, channels=1 if channels == 1 else 3)
