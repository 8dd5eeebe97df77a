"""A trained model and the forms it takes on its way to the engines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """A form of a model. Its value is the name in run.json."""

    KERAS = "keras"
    """A Keras model file: `.keras`, or legacy `.h5`."""
    SAVED_MODEL = "saved_model"
    """A TensorFlow SavedModel: a folder with `saved_model.pb`."""
    EXPORTED = "exported"
    """A PyTorch program (`.pt2`) that `torch.export` made from the user's module."""
    RAW_ONNX = "raw_onnx"
    """ONNX as a converter or the user wrote it."""
    ONNX = "onnx"
    """The clean float ONNX graph: the reference that every other form is verified against."""
    PYTORCH = "pytorch"
    """A `torch.fx.GraphModule` of plain modules, saved with `torch.save`."""
    LITERT = "litert"
    """A float LiteRT model (`.tflite`)."""

    @property
    def suffix(self) -> str:
        """File name suffix of this form."""
        suffixes = {
            Format.KERAS: ".keras",
            Format.SAVED_MODEL: "",
            Format.EXPORTED: ".pt2",
            Format.PYTORCH: ".pt",
            Format.LITERT: ".tflite",
        }
        return suffixes.get(self, ".onnx")

    @property
    def base(self) -> Format:
        """The format itself: no pass prepared this graph, see `PreparedForm`."""
        return self

    @property
    def passes(self) -> tuple[str, ...]:
        """Empty: no pass prepared this graph."""
        return ()


class PreparedForm(str):
    """A form of a model whose graph was prepared by passes. Its value is the name in run.json: `onnx+equalize`."""

    __slots__ = ()

    @property
    def base(self) -> Format:
        """The format of its file."""
        return Format(self.partition("+")[0])

    @property
    def passes(self) -> tuple[str, ...]:
        """The steps that prepared it, in order: passes with what their results depend on, see `GraphPass.step`."""
        return tuple(self.split("+")[1:])

    @property
    def suffix(self) -> str:
        """See `Format.suffix`."""
        return self.base.suffix


Form = Format | PreparedForm


def form_of(name: str) -> Form:
    """Return the form with this name."""
    return PreparedForm(name) if "+" in name else Format(name)


def prepared(form: Format, passes: Sequence[str]) -> Form:
    """Return the form of the graph that these passes prepare."""
    return PreparedForm("+".join([form, *passes])) if passes else form


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a model.

    Attributes:
        name: name in the model.
        shape: shape of one sample, without the batch axis; None for a free dimension. None if the shape is unknown.
        dtype: name of a numpy dtype, e.g. `float32`.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str = "float32"

    @property
    def sizes(self) -> tuple[int | None, ...] | None:
        """The shape of one sample without axes of size 1, which do not change what the values mean."""
        return None if self.shape is None else tuple(size for size in self.shape if size != 1)

    @property
    def count(self) -> int:
        """Number of values in a sample, if all of them lie along one axis; 0 otherwise."""
        if self.sizes is None or len(self.sizes) > 1:
            return 0
        return 1 if not self.sizes else self.sizes[0] or 0

    @property
    def is_index(self) -> bool:
        """Whether the values are integers as ArgMax returns them; those of pictures have fewer bits."""
        return self.dtype in ("int32", "int64")

    def __str__(self) -> str:
        sizes = ("any" if size is None else str(size) for size in self.shape or ())
        shape = "of unknown shape" if self.shape is None else f"({', '.join(['batch', *sizes])})"
        return f"{self.name} {shape} {self.dtype}"


def fits(shape: Sequence[int], wanted: Sequence[int | None] | None) -> bool:
    """Whether a shape matches a wanted one, in which None stands for any size, or for any shape."""
    return wanted is None or (
        len(shape) == len(wanted) and all(want in (None, size) for want, size in zip(wanted, shape, strict=True))
    )


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a model, in the model's order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Model:
    """A source model, with the properties of its reference graph.

    Attributes:
        source: the user's file.
        format: format of the file.
        sha256: digest of the file.
        signature: its inputs and outputs.
        parameters: number of float weights in the reference graph (batch norm folded).
        macs: multiply-accumulates for one sample; None if unknown.
        passes: the passes that can prepare it; None if unknown.
    """

    source: Path
    format: Format
    sha256: str
    signature: Signature
    parameters: int
    macs: int | None
    passes: frozenset[str] | None = None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_sha256(path: Path) -> str:
    """Return the digest of a model: of its file and of the files that belong to it.

    These are all files in a folder, and the external weight files of an ONNX model. If a file cannot be parsed, the
    digest covers its bytes alone; opening the model later reports the error.
    """
    files = model_files(path)
    if path.is_dir():
        parts = [f"{file.relative_to(path).as_posix()} {sha256_of(file)}" for file in files]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    parts = [sha256_of(file) for file in files]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def model_files(path: Path) -> list[Path]:
    """Return the files of a model, see `model_sha256`; only the file itself if it cannot be parsed."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if path.suffix != ".onnx":
        return [path]
    from google.protobuf.message import DecodeError

    try:
        return [path, *(file for file in external_files(path) if file.is_file())]
    except (DecodeError, ValueError):  # no ONNX file, or one whose weights are at no place
        return [path]


def external_files(path: Path) -> list[Path]:
    """Return the external files with the weights of an ONNX file; empty if the weights are inside.

    Raises:
        DecodeError: the file is not a protobuf.
        ValueError: the weights are said to be at a place that no file has.
    """
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    graph = onnx.load(path, load_external_data=False).graph
    names = {ExternalDataInfo(i).location for i in graph.initializer if uses_external_data(i)}
    return [path.parent / name for name in sorted(names)]
