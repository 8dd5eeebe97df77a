"""A trained model and the forms it takes on its way to the engines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bitpick.errors import ModelError


class Format(StrEnum):
    """A form of a model. The value is its name in run.json."""

    KERAS = "keras"
    """A Keras model file: `.keras`, or legacy `.h5`."""
    RAW_ONNX = "raw_onnx"
    """ONNX as a converter, or the user, wrote it."""
    ONNX = "onnx"
    """The clean float ONNX graph: the reference that every other form is verified against."""
    PYTORCH = "pytorch"
    """A `torch.fx.GraphModule` of plain modules, saved with `torch.save`."""
    LITERT = "litert"
    """A float LiteRT model (`.tflite`)."""

    @property
    def suffix(self) -> str:
        """The file name suffix of this form."""
        suffixes = {Format.KERAS: ".keras", Format.PYTORCH: ".pt", Format.LITERT: ".tflite"}
        return suffixes.get(self, ".onnx")


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a model.

    Attributes:
        name: as the model calls it.
        shape: of one sample, without the batch axis; None for a free dimension. None where nothing is known of it.
        dtype: a name that numpy knows, e.g. `float32`.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str = "float32"

    def __str__(self) -> str:
        sizes = ("any" if size is None else str(size) for size in self.shape or ())
        shape = "of unknown shape" if self.shape is None else f"({', '.join(['batch', *sizes])})"
        return f"{self.name} {shape} {self.dtype}"


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives, in its own order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Model:
    """A source model with what its reference graph says about it.

    Attributes:
        source: the user's file.
        format: its format.
        sha256: digest of the file.
        signature: what it takes and gives.
        parameters: number of float weights of the reference graph (batch norm folded).
        macs: multiply-accumulates for one sample; None where they are not known.
    """

    source: Path
    format: Format
    sha256: str
    signature: Signature
    parameters: int
    macs: int | None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_sha256(path: Path) -> str:
    """The digest of a model: of its file, and of the files beside it that hold its weights, if it is an ONNX model.

    A file that cannot be parsed has the digest of its bytes; whoever opens it will say what is wrong with it.
    """
    digest = sha256_of(path)
    if path.suffix != ".onnx":
        return digest
    from google.protobuf.message import DecodeError

    try:
        beside = external_files(path)
    except DecodeError:
        return digest
    parts = [digest, *(sha256_of(file) for file in beside if file.is_file())]
    return digest if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def external_files(path: Path) -> list[Path]:
    """The files beside an ONNX file that hold its weights; none where they are inside.

    Raises:
        DecodeError: the file is no protobuf.
    """
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    graph = onnx.load(path, load_external_data=False).graph
    names = {ExternalDataInfo(i).location for i in graph.initializer if uses_external_data(i)}
    return [path.parent / name for name in sorted(names)]


def detect_format(path: Path) -> Format:
    """The format of a model file, by its suffix and first bytes.

    Raises:
        ModelError: there is no such file, it is empty, or it is no model that bitpick reads.
    """
    readable = "a Keras model (.keras, .h5), an ONNX model (.onnx) or a LiteRT model (.tflite)"
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise ModelError(f"model {path} {what}", expected=f"the path of {readable}")
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise ModelError(f"model {path} is empty", expected=readable, mend="save or copy the model again")
    magic = {".keras": b"PK\x03\x04", ".h5": b"\x89HDF\r\n\x1a\n", ".hdf5": b"\x89HDF\r\n\x1a\n", ".onnx": b""}
    magic[".tflite"] = head[:4] + b"TFL3"  # after an offset
    expected = magic.get(path.suffix)
    if expected is None:
        raise ModelError(f"model {path} has the unknown suffix {path.suffix!r}", expected=readable)
    if not head.startswith(expected):
        raise ModelError(f"model {path} is not a {path.suffix} file: its first bytes are {head!r}", expected=readable)
    return {".onnx": Format.RAW_ONNX, ".tflite": Format.LITERT}.get(path.suffix, Format.KERAS)
