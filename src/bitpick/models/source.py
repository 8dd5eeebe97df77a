"""Tell what kind of model a user gives, and whether opening it can run code."""

from __future__ import annotations

import hashlib
import mmap
import pickletools
import re
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bitpick.errors import ModelError, did_you_mean
from bitpick.models.code_file import code_sha256
from bitpick.models.model import Format, Signature, model_sha256, sha256_of
from bitpick.models.onnx_traits import traits

READABLE = (
    "a Keras model (.keras, .h5), a TensorFlow SavedModel folder, an ONNX model (.onnx), a PyTorch program (.pt2), "
    "TorchScript or a pickled module (.pt, .pth), a LiteRT model (.tflite), or module:function, which returns a module"
)
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_LAMBDA = re.compile(rb'"class_name":\s*"(Lambda|__lambda__)"')


class Kind(StrEnum):
    """The kind of a source. Its value is the name in messages."""

    KERAS = "Keras model"
    LAMBDA = "Keras model with Lambda layers"
    KERAS_WEIGHTS = "Keras weights file"
    SAVED_MODEL = "TensorFlow SavedModel"
    ONNX = "ONNX model"
    QUANTIZED_ONNX = "quantized ONNX model"
    PROGRAM = "PyTorch program"
    TORCHSCRIPT = "TorchScript model"
    PICKLE = "pickled PyTorch module"
    FACTORY = "function that returns a PyTorch module"
    LITERT = "LiteRT model"


# Why opening a source of this kind can run code. For saved graphs, see TensorFlow's security policy;
# `torch.export.load` unpickles any type; TorchScript is a program by definition.
_RUNS_CODE = {
    Kind.LAMBDA: "the Python code of its Lambda layers runs when it is opened",
    Kind.KERAS_WEIGHTS: "the function that --keras-builder names is Python code",
    Kind.SAVED_MODEL: "TensorFlow graphs can read and write files and use the network",
    Kind.PROGRAM: "a .pt2 file holds pickles, which can run any code when they are opened",
    Kind.TORCHSCRIPT: "TorchScript is a program",
    Kind.PICKLE: "pickles can run any code when they are opened",
    Kind.FACTORY: "it is Python code",
}
# The format that a run starts from.
_FORMATS = {
    Kind.KERAS: Format.KERAS,
    Kind.LAMBDA: Format.SAVED_MODEL,
    Kind.KERAS_WEIGHTS: Format.SAVED_MODEL,
    Kind.SAVED_MODEL: Format.SAVED_MODEL,
    Kind.ONNX: Format.RAW_ONNX,
    Kind.QUANTIZED_ONNX: Format.RAW_ONNX,
    Kind.PROGRAM: Format.EXPORTED,
    Kind.TORCHSCRIPT: Format.EXPORTED,
    Kind.PICKLE: Format.EXPORTED,
    Kind.FACTORY: Format.EXPORTED,
    Kind.LITERT: Format.LITERT,
}
_MAKERS = {
    Kind.LAMBDA: ("keras", "bitpick.conversion.saved_model_maker:make"),
    Kind.KERAS_WEIGHTS: ("keras", "bitpick.conversion.saved_model_maker:make"),
    **dict.fromkeys((Kind.ONNX, Kind.QUANTIZED_ONNX), ("onnxruntime", "bitpick.conversion.onnx_maker:make")),
    **dict.fromkeys(
        (Kind.PROGRAM, Kind.TORCHSCRIPT, Kind.PICKLE, Kind.FACTORY),
        ("pytorch", "bitpick.conversion.exported_maker:make"),
    ),
}


@dataclass(frozen=True)
class Maker:
    """A function that turns a source into the format that a run starts from, as the first job in a worker.

    Attributes:
        environment: worker environment with the libraries that it needs.
        function: `module:function`, called with `out: str`, the file or folder to write, and `options`.
        options: its other keyword arguments, plain JSON.
        needs_samples: whether it also takes `inputs: str`, a `.npz` file with an array of samples for each input: a
            module does not declare its inputs.
        signature: inputs that the source declares before it is opened, used to read the samples; None if it declares
            none. A source that declares its inputs also works without samples, if these cannot be read.
        describes: whether the source declares its inputs once it is open: it then also works without samples, and takes
            `names: list[str]`, the names of the samples' arrays.
    """

    environment: str
    function: str
    options: dict[str, str | None]
    needs_samples: bool
    signature: Signature | None = None
    describes: bool = False


@dataclass(frozen=True)
class Source:
    """A model as the user gives it.

    Attributes:
        name: a path, or `module:function`, a function without arguments that returns a `torch.nn.Module`.
        trusted: whether it may run code when it is opened.
        keras_builder: `module:function` that returns the `keras.Model` for a file that holds only weights.
        state_dict: file with the weights of the module that the function returns.
    """

    name: str
    trusted: bool = False
    keras_builder: str | None = None
    state_dict: Path | None = None

    @classmethod
    def of(cls, model: str | Path | Source) -> Source:
        """Return a source for a path or a name without options; return a source as it is."""
        return model if isinstance(model, Source) else cls(str(model))

    @property
    def stem(self) -> str:
        """Short name of the model, used in the names of run folders."""
        return Path(self.name).stem.replace(":", "-")

    @property
    def path(self) -> Path | None:
        """Path of the model; None if a function builds it."""
        return None if self._is_function else Path(self.name)

    @property
    def _is_function(self) -> bool:
        return _FUNCTION.fullmatch(self.name) is not None and not Path(self.name).exists()

    def kind(self) -> Kind:
        """Tell the kind of the source by its name and content, without running it.

        Raises:
            ModelError: the model does not exist, bitpick does not read its kind, an option is missing or does not
                apply, or it can run code and is not trusted.
        """
        kind = Kind.FACTORY if self.path is None else _kind(self.path)
        self._check_options(kind)
        self.check_trusted(f"the model {self.name} is a {kind}", _RUNS_CODE.get(kind, ""))
        return kind

    def check_trusted(self, what: str, runs_code: str) -> None:
        """Refuse what can run code when it is opened, unless the user trusts it.

        Args:
            what: what it is, as the message says.
            runs_code: why it can; empty if it cannot.

        Raises:
            ModelError: it can run code, and is not trusted.
        """
        if runs_code and not self.trusted:
            raise ModelError(
                f"{what}, and opening it can run code: {runs_code}",
                fix="if you trust where it comes from, say so with --trust-model",
            )

    def runs_code(self) -> str:
        """Return why opening the model's file can run code; empty if it cannot. Raises what `kind` raises."""
        return "" if self.path is None else _RUNS_CODE.get(_kind(self.path), "")

    def _check_options(self, kind: Kind) -> None:
        if kind is Kind.KERAS_WEIGHTS and self.keras_builder is None:
            raise ModelError(
                f"{self.name} holds the weights of a Keras model without its architecture",
                fix="name the function that builds the model with --keras-builder module:function, "
                "or give the whole model, saved with model.save('model.keras')",
            )
        if self.keras_builder is not None:
            if kind is not Kind.KERAS_WEIGHTS:
                raise ModelError(
                    f"the model {self.name} is a {kind}: it needs no --keras-builder", fix="leave --keras-builder out"
                )
            _check_function(self.keras_builder, "--keras-builder")
        if self.state_dict is not None:
            if kind is not Kind.FACTORY:
                raise ModelError(
                    f"the model {self.name} is a {kind}, which has its own weights",
                    expected="module:function, where --state-dict names a file of weights",
                )
            if not self.state_dict.is_file():
                raise ModelError(
                    f"the file {self.state_dict} of --state-dict does not exist",
                    expected="a file that torch.save(module.state_dict(), …) wrote",
                )

    def format(self) -> Format:
        """Return the format that a run starts from; raises what `kind` raises."""
        return _FORMATS[self.kind()]

    def maker(self) -> Maker | None:
        """Return the maker of that format; None if the user's file already has it. Raises what `kind` raises."""
        kind = self.kind()
        if kind not in _MAKERS:
            return None
        environment, function = _MAKERS[kind]
        options: dict[str, str | None] = {"source": str(self.path.absolute()) if self.path else self.name}
        if environment == "keras":
            options["builder"] = self.keras_builder
        elif environment == "pytorch":
            options["kind"] = kind.name
            options["state_dict"] = str(self.state_dict.absolute()) if self.state_dict else None
        if environment == "onnxruntime" and self.path:
            return Maker(environment, function, options, True, traits(self.path).signature)
        return Maker(environment, function, options, environment == "pytorch", describes=kind is Kind.PROGRAM)

    def sha256(self) -> str:
        """Return the digest of the model's files, and of the files of the functions that build it."""
        parts = [model_sha256(self.path)] if self.path else [self.name, code_sha256(self.name)]
        if self.keras_builder is not None:
            parts += [self.keras_builder, code_sha256(self.keras_builder)]
        if self.state_dict is not None:
            parts.append(sha256_of(self.state_dict))
        return parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _check_function(text: str, option: str) -> None:
    if _FUNCTION.fullmatch(text) is None:
        raise ModelError(f"{option} {text} names no function", expected="module:function, e.g. my_project.nets:build")


def _similar_name(path: Path) -> str:
    """Return a hint for a missing file: the most similar name in its folder; empty if there is none."""
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, names)
    return hint if hint.startswith("did you mean") else ""


def _kind(path: Path) -> Kind:
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return Kind.SAVED_MODEL
        raise ModelError(f"model {path} is a directory without saved_model.pb", expected=READABLE)
    if not path.is_file():
        raise ModelError(f"model {path} does not exist", expected=f"the path of {READABLE}", fix=_similar_name(path))
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise ModelError(f"model {path} is empty", expected=READABLE, fix="save or copy the model again")
    suffix = path.suffix.lower()
    magic: dict[str, tuple[bytes, ...]] = {
        ".keras": (_ZIP,),
        **dict.fromkeys((".h5", ".hdf5"), (_HDF5,)),
        ".onnx": (b"",),
        ".tflite": (head[:4] + b"TFL3",),  # after an offset
        ".pt2": (_ZIP,),
        **dict.fromkeys((".pt", ".pth", ".pts", ".ts", ".torchscript", ".bin"), (_ZIP, _PICKLE)),
    }
    if suffix not in magic:
        raise ModelError(f"model {path} has the unknown suffix {path.suffix!r}", expected=READABLE)
    if not head.startswith(magic[suffix]):
        raise ModelError(f"model {path} is not a {path.suffix} file: its first bytes are {head!r}", expected=READABLE)
    if suffix == ".keras":
        return Kind.LAMBDA if _LAMBDA.search(_read_member(path, "config.json")) else Kind.KERAS
    if suffix in (".h5", ".hdf5"):
        return _kind_of_hdf5(path)
    if suffix in (".onnx", ".tflite"):
        onnx_kind = Kind.QUANTIZED_ONNX if suffix == ".onnx" and traits(path).quantized else Kind.ONNX
        return onnx_kind if suffix == ".onnx" else Kind.LITERT
    return _kind_of_torch(path, head)


def _kind_of_hdf5(path: Path) -> Kind:
    """Tell the kind of an HDF5 file. HDF5 stores text as it is, so a byte search is enough."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"model_config") < 0:
            return Kind.KERAS_WEIGHTS
        return Kind.LAMBDA if _LAMBDA.search(content) else Kind.KERAS


def _kind_of_torch(path: Path, head: bytes) -> Kind:
    """Tell the kind of a PyTorch file by its archive's members; a file that is no archive is an old-style pickle."""
    if not head.startswith(_ZIP):
        return Kind.PICKLE
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ModelError(f"model {path} is damaged: {error}", fix="check that the file was copied whole") from error
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside:
        return Kind.TORCHSCRIPT
    if any(name.startswith("models/") for name in inside) or "serialized_exported_program.json" in names:
        return Kind.PROGRAM
    if "data.pkl" in inside:
        if _only_tensors(path, next(name for name in names if name.endswith("/data.pkl"))):
            raise ModelError(
                f"{path} holds the weights of a PyTorch module without the module",
                fix=f"give the function that returns the module: my_project.nets:build --state-dict {path}",
            )
        return Kind.PICKLE
    raise ModelError(f"model {path} is no PyTorch program: its archive holds {', '.join(names[:3])}", expected=READABLE)


def _only_tensors(path: Path, name: str) -> bool:
    """Whether a pickle names only types of tensors and their dictionaries. Nothing is unpickled."""
    operations = pickletools.genops(_read_member(path, name))
    types = {str(argument) for operation, argument, _ in operations if operation.name == "GLOBAL"}
    return all(re.fullmatch(r"collections OrderedDict|torch\._utils _rebuild_\w+|torch \w+", each) for each in types)


def _read_member(path: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"model {path} is damaged: {error}", fix="check that the file was copied whole") from error
