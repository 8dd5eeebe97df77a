"""Read Keras models of other precisions in float32.

Under the policies mixed_float16 and mixed_bfloat16 the weights are float32, and half precision serves to train on GPUs
and TPUs; pure float16, bfloat16 and float64 become float32. Builds are compared with the float32 model, as they are for
ONNX models in float16.
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

_OTHER_PRECISION = re.compile(r"(mixed_)?b?float16|float64")
# Keys whose values name the precision of a layer, of a tensor between layers, or of a policy map.
_KEYS = ("dtype", "compute_dtype", "variable_dtype", "default_policy")
_CONFIG = "config.json"
_ATTRIBUTE = "model_config"


def other_precisions(path: Path) -> list[str]:
    """Return the precisions in a `.keras` or `.h5` file other than float32, e.g. `mixed_float16`, sorted by name."""
    names = _other_precisions(_config(path))
    return sorted(names - {name.removeprefix("mixed_") for name in names if name.startswith("mixed_")})


def file_notes(path: Path) -> list[str]:
    """Return the notes for the user about a file's precisions; none if all of it is float32."""
    return notes(other_precisions(path))


def notes(precisions: Sequence[str]) -> list[str]:
    """Return the notes for the user about precisions other than float32."""
    return [f"the model is in {', '.join(precisions)}: it is read and compared in float32"] if precisions else []


def coarsest(precisions: Sequence[str]) -> Any:
    """Return the dtype of the coarsest precision; float32 if there is none coarser."""
    import ml_dtypes

    names = [name.removeprefix("mixed_") for name in precisions]
    return ml_dtypes.bfloat16 if "bfloat16" in names else np.float16 if "float16" in names else np.float32


@contextmanager
def in_float32(path: Path) -> Iterator[Path]:
    """Yield the file, or a float32 copy of it if it names another precision."""
    config = _config(path)
    if not _other_precisions(config):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="bitpick-") as folder:
        copy = Path(folder) / path.name
        _write(path, copy, json.dumps(widen(config)))
        yield copy


def set_float32(model: Any) -> list[str]:
    """Make the layers of a `keras.Model` compute in float32; return the names of their other policies.

    Their weights stay as they are.
    """
    import keras

    policies = set()
    for layer in model._flatten_layers():  # noqa: SLF001 - no public API lists nested layers
        if _OTHER_PRECISION.fullmatch(layer.dtype_policy.name):
            policies.add(layer.dtype_policy.name)
            layer.dtype_policy = keras.DTypePolicy("float32")
    return sorted(policies)


def widen(part: Any) -> Any:
    """Return a model's configuration, or a part of it, with float32 in place of other float precisions."""
    if isinstance(part, list):
        return [widen(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {key: "float32" if _is_other_precision(part, key) else widen(value) for key, value in part.items()}


def _other_precisions(part: Any) -> set[str]:
    """Return the precisions other than float32 in a configuration."""
    if isinstance(part, list):
        return {name for each in part for name in _other_precisions(each)}
    if not isinstance(part, dict):
        return set()
    here = {value for key, value in part.items() if _is_other_precision(part, key)}
    return here | {name for value in part.values() for name in _other_precisions(value)}


def _is_other_precision(part: dict[str, Any], key: str) -> bool:
    """Return whether an entry names a precision other than float32: as a `dtype`, or as a policy's name."""
    value = part[key]
    if not isinstance(value, str) or not _OTHER_PRECISION.fullmatch(value):
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
        file.attrs[_ATTRIBUTE] = config  # h5py stores attributes over 64 kB separately, by itself
