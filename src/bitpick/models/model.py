"""A trained model and the forms it takes on its way to the engines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """A form of a model. The value is its name in run.json."""

    KERAS = "keras"
    """A Keras model file: `.keras`, or legacy `.h5`."""
    SAVED_MODEL = "saved_model"
    """A TensorFlow SavedModel: a folder with `saved_model.pb`."""
    EXPORTED = "exported"
    """A PyTorch program (`.pt2`), as `torch.export` made it from the user's own module."""
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
        """Itself: it is the form of a graph that no pass prepared, see `PreparedForm`."""
        return self

    @property
    def passes(self) -> tuple[str, ...]:
        """None."""
        return ()


class PreparedForm(str):
    """A form of a model whose graph passes prepared, as it is named in run.json: `onnx+equalize`."""

    __slots__ = ()

    @property
    def base(self) -> Format:
        """The format of its file."""
        return Format(self.partition("+")[0])

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes, in the order in which they were applied."""
        return tuple(self.split("+")[1:])

    @property
    def suffix(self) -> str:
        """See `Format.suffix`."""
        return self.base.suffix


Form = Format | PreparedForm


def form_of(name: str) -> Form:
    """The form with this name."""
    return PreparedForm(name) if "+" in name else Format(name)


def prepared(form: Format, passes: Sequence[str]) -> Form:
    """A form of the graph that passes prepared."""
    return PreparedForm("+".join([form, *passes])) if passes else form


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

    @property
    def sizes(self) -> tuple[int | None, ...] | None:
        """The shape of one sample without the axes of size 1, which change nothing about what the values mean."""
        return None if self.shape is None else tuple(size for size in self.shape if size != 1)

    @property
    def count(self) -> int:
        """How many values a sample has, where all of them are along one axis; 0 where they are not."""
        if self.sizes is None or len(self.sizes) > 1:
            return 0
        return 1 if not self.sizes else self.sizes[0] or 0

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers as ArgMax gives them; those of a picture have fewer bits."""
        return self.dtype in ("int32", "int64")

    def __str__(self) -> str:
        sizes = ("any" if size is None else str(size) for size in self.shape or ())
        shape = "of unknown shape" if self.shape is None else f"({', '.join(['batch', *sizes])})"
        return f"{self.name} {shape} {self.dtype}"


def fits(has: Sequence[int], wanted: Sequence[int | None] | None) -> bool:
    """Whether a shape is one that is wanted, of which None leaves a dimension, or all of it, free."""
    return wanted is None or (
        len(has) == len(wanted) and all(want in (None, size) for want, size in zip(wanted, has, strict=True))
    )


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
    """The digest of a model: of its file, and of the files that belong to it.

    These are all files of a folder, and the files beside an ONNX model that hold its weights. A file that cannot be
    parsed has the digest of its bytes; whoever opens it will say what is wrong with it.
    """
    files = model_files(path)
    if path.is_dir():
        parts = [f"{file.relative_to(path).as_posix()} {sha256_of(file)}" for file in files]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    parts = [sha256_of(file) for file in files]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def model_files(path: Path) -> list[Path]:
    """The files of a model, see `model_sha256`; of a file that cannot be parsed it alone."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if path.suffix != ".onnx":
        return [path]
    from google.protobuf.message import DecodeError

    try:
        return [path, *(file for file in external_files(path) if file.is_file())]
    except DecodeError:
        return [path]


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
