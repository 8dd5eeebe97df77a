"""Keras models in other precisions than float32, read in float32.

Under the policies mixed_float16 and mixed_bfloat16 the weights are float32, and the rest is for GPUs and TPUs in
training; pure float16, bfloat16 and float64 become float32. The float32 model is the one to compare builds with, as it
is for ONNX models in float16.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_OTHER = re.compile(r"(mixed_)?b?float16|float64")
# Keys whose values name a precision, of layers, of tensors between them, and of maps of policies.
_KEYS = ("dtype", "compute_dtype", "variable_dtype", "default_policy")
_CONFIG = "config.json"
_ATTRIBUTE = "model_config"


def other(path: Path) -> list[str]:
    """The precisions of a `.keras` or `.h5` file beside float32, e.g. `mixed_float16`, in alphabetical order."""
    found = _named(_config(path))
    return sorted(found - {name.removeprefix("mixed_") for name in found if name.startswith("mixed_")})


def note(path: Path) -> list[str]:
    """What a user must know of such a file, as notes of a run; none where it is float32 all through."""
    return told(other(path))


def told(found: Sequence[str]) -> list[str]:
    """The same of precisions that were found."""
    return [f"the model is in {', '.join(found)}: it is read and compared in float32"] if found else []


def coarsest(found: Sequence[str]) -> Any:
    """The dtype among precisions that rounds most, float32 among them."""
    import ml_dtypes

    named = [name.removeprefix("mixed_") for name in found]
    return ml_dtypes.bfloat16 if "bfloat16" in named else np.float16 if "float16" in named else np.float32


@contextmanager
def in_float32(path: Path) -> Iterator[Path]:
    """The file, or a copy of it in float32 where it names another precision."""
    config = _config(path)
    if not _named(config):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder:
        copy = Path(folder) / path.name
        _write(path, copy, json.dumps(widened(config)))
        yield copy


def set_float32(model: Any) -> list[str]:
    """Let the layers of a `keras.Model` compute in float32; the names of their policies that were others, once each.

    Their weights stay as they are.
    """
    import keras

    found = set()
    for layer in model._flatten_layers():  # noqa: SLF001 - nothing public tells the layers of layers
        if _OTHER.fullmatch(layer.dtype_policy.name):
            found.add(layer.dtype_policy.name)
            layer.dtype_policy = keras.DTypePolicy("float32")
    return sorted(found)


def widened(part: Any) -> Any:
    """A model's configuration, or a part of it, with float32 in the place of other precisions of floats."""
    if isinstance(part, list):
        return [widened(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {key: "float32" if _names(part, key) else widened(value) for key, value in part.items()}


def _named(part: Any) -> set[str]:
    """The other precisions in a configuration."""
    if isinstance(part, list):
        return {name for each in part for name in _named(each)}
    if not isinstance(part, dict):
        return set()
    own = {value for key, value in part.items() if _names(part, key)}
    return own | {name for value in part.values() for name in _named(value)}


def _names(part: dict[str, Any], key: str) -> bool:
    """Whether an entry names another precision: a `dtype`, or the name of a policy."""
    value = part[key]
    if not isinstance(value, str) or not _OTHER.fullmatch(value):
        return False
    return key in _KEYS or (key == "name" and set(part) <= {"name", "loss_scale"})


def _config(path: Path) -> Any:
    if path.suffix.lower() == ".keras":
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(_CONFIG))
    import h5py

    with h5py.File(path) as file:
        return json.loads(file.attrs.get(_ATTRIBUTE, "{}"))


def _write(path: Path, copy: Path, config: str) -> None:
    if path.suffix.lower() == ".keras":
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
            for name in source.namelist():
                target.writestr(name, config if name == _CONFIG else source.read(name))
        return
    import h5py

    shutil.copyfile(path, copy)
    copy.chmod(0o600)
    with h5py.File(copy, "r+") as file:
        file.attrs[_ATTRIBUTE] = config  # over 64 kB an attribute is stored apart, which the library does by itself
