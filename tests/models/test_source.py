from __future__ import annotations

import io
import pickle
import zipfile

import onnx
import pytest
from onnx import TensorProto, helper

from bitpick.errors import ModelError
from bitpick.models.model import Format
from bitpick.models.source import Kind, Source
from tests.conftest import linear_model


def archive(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in files.items():
            file.writestr(name, text)
    return content.getvalue()


KERAS = archive({"config.json": b'{"class_name": "Functional"}'})
LAMBDA = archive({"config.json": b'{"class_name": "Sequential", "config": [{"class_name": "Lambda"}]}'})
HDF5 = b"\x89HDF\r\n\x1a\n"


class Anything:
    """What a pickle of a whole module names: a class that is no tensor."""


@pytest.mark.parametrize(
    ("name", "content", "kind", "form"),
    [
        ("m.keras", KERAS, Kind.KERAS, Format.KERAS),
        ("m.keras", LAMBDA, Kind.LAMBDA, Format.SAVED_MODEL),
        ("m.h5", HDF5 + b"model_config {}", Kind.KERAS, Format.KERAS),
        ("m.h5", HDF5 + b'model_config {"class_name":"Lambda"}', Kind.LAMBDA, Format.SAVED_MODEL),
        ("m.onnx", b"\x08\x08", Kind.ONNX, Format.RAW_ONNX),
        ("m.tflite", b"\x1c\0\0\0TFL3", Kind.LITERT, Format.LITERT),
        ("m.pt2", archive({"m/models/model.json": b"{}"}), Kind.PROGRAM, Format.EXPORTED),
        ("m.pt", archive({"m/constants.pkl": b"", "m/data.pkl": b""}), Kind.TORCHSCRIPT, Format.EXPORTED),
        ("m.pt", archive({"m/data.pkl": pickle.dumps(Anything(), protocol=2)}), Kind.PICKLE, Format.EXPORTED),
        ("m.pth", b"\x80\x02}q\x00.", Kind.PICKLE, Format.EXPORTED),
    ],
)
def test_kinds_by_suffix_and_first_bytes(tmp_path, name, content, kind, form):
    (tmp_path / name).write_bytes(content)
    source = Source(str(tmp_path / name), trusted=True)
    assert source.kind() is kind
    assert source.format() is form


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.keras", b"", "is empty"),
        ("m.h5", b"not HDF5 at all", "is not a .h5 file"),
        ("m.keras", HDF5, "is not a .keras file"),
        ("m.keras", b"PK\x03\x04rest", "is damaged"),
        ("m.keras", archive({"other": b""}), "is damaged"),
        ("m.pt2", b"PK\x03\x04rest", "is damaged"),
        ("m.pt2", archive({"data/aotinductor/model.so": b""}), "is no PyTorch program"),
        ("m.txt", b"hello", "unknown suffix '.txt'"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError) as error:
        Source(str(tmp_path / name)).kind()
    assert says in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        Source(str(tmp_path / "m.onnx")).kind()
    with pytest.raises(ModelError, match=r"directory without saved_model\.pb"):
        Source(str(tmp_path)).kind()


@pytest.mark.parametrize(
    ("name", "content", "because"),
    [
        ("m.keras", LAMBDA, "Lambda layers"),
        ("m.pt2", archive({"m/models/model.json": b"{}"}), "pickles"),
        ("m.pt", archive({"m/constants.pkl": b""}), "TorchScript is a program"),
        ("m.pth", b"\x80\x02}q\x00.", "pickles"),
    ],
)
def test_what_can_run_code_is_opened_for_those_who_trust_it_alone(tmp_path, name, content, because):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=because) as error:
        Source(str(tmp_path / name)).kind()
    assert "--trust-model" in error.value.fix
    assert error.value.exit_code == 2
    assert Source(str(tmp_path / name), trusted=True).kind()


def test_a_saved_model_and_a_function_need_trust_too(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    for name in (str(tmp_path), "nets:build"):
        with pytest.raises(ModelError, match="--trust-model"):
            Source(name).kind()
    assert Source(str(tmp_path), trusted=True).format() is Format.SAVED_MODEL
    assert Source("nets:build", trusted=True).format() is Format.EXPORTED


def test_weights_of_keras_alone_name_the_option(tmp_path):
    path = tmp_path / "m.weights.h5"
    path.write_bytes(HDF5 + b"layers")
    with pytest.raises(ModelError, match="--keras-builder"):
        Source(str(path), trusted=True).kind()
    with pytest.raises(ModelError, match="--trust-model"):
        Source(str(path), keras_builder="nets:build").kind()
    with pytest.raises(ModelError, match="names no function"):
        Source(str(path), True, keras_builder="nets.py").kind()
    source = Source(str(path), True, keras_builder="nets:build")
    maker = source.maker()
    assert source.format() is Format.SAVED_MODEL
    assert maker is not None
    assert maker.options == {"source": str(path), "builder": "nets:build"}
    assert not maker.needs_samples


def test_weights_of_pytorch_alone_name_the_option(tmp_path):
    state = b"\x80\x02ccollections\nOrderedDict\nctorch._utils\n_rebuild_tensor_v2\nctorch\nFloatStorage\n."
    (tmp_path / "m.pt").write_bytes(archive({"m/data.pkl": state}))
    with pytest.raises(ModelError, match="--state-dict") as error:
        Source(str(tmp_path / "m.pt"), trusted=True).kind()
    assert "without the module" in str(error.value)


def test_an_option_for_another_kind_of_model_is_refused(tmp_path):
    path = linear_model(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="needs no --keras-builder"):
        Source(str(path), keras_builder="nets:build").kind()
    with pytest.raises(ModelError, match="has its own weights"):
        Source(str(path), state_dict=path).kind()
    with pytest.raises(ModelError, match="does not exist"):
        Source("nets:build", True, state_dict=tmp_path / "none.pt").kind()


def test_the_digest_covers_all_that_a_model_is_made_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text("def build(): ...")
    (tmp_path / "w.pt").write_bytes(b"one")
    source = Source("nets:build", True, state_dict=tmp_path / "w.pt")
    digests = [source.sha256(), Source("nets:build", True).sha256(), Source("nets:other", True).sha256()]
    (tmp_path / "w.pt").write_bytes(b"two")
    digests.append(source.sha256())
    (tmp_path / "nets.py").write_text("def build(): pass")
    digests.append(source.sha256())
    assert len(set(digests)) == 5
    folder = tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "v").write_bytes(b"1")
    before = Source(str(folder), True).sha256()
    (folder / "variables" / "v").write_bytes(b"2")
    assert Source(str(folder), True).sha256() != before


def test_kinds_of_onnx(tmp_path):
    def saved(shape: list, elements=TensorProto.FLOAT, op="Relu") -> str:
        graph = helper.make_graph(
            [helper.make_node(op, ["x"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", elements, shape)],
            [helper.make_tensor_value_info("y", elements, shape)],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
        return str(tmp_path / "m.onnx")

    assert Source(saved(["n", 4])).kind() is Kind.ONNX
    assert Source(saved([8, 4])).kind() is Kind.ONNX
    assert Source(saved([1])).kind() is Kind.ONNX
    assert Source(saved([4])).kind() is Kind.ONNX
    assert Source(saved(["n", 4], TensorProto.FLOAT16)).kind() is Kind.ONNX
    assert Source(saved(["n", 4], op="DynamicQuantizeLinear")).kind() is Kind.QUANTIZED_ONNX
    maker = Source(saved([4])).maker()
    assert maker is not None
    assert maker.options == {"source": str(tmp_path / "m.onnx")}
    assert maker.signature is not None
    assert maker.signature.inputs[0].shape == (4,)


def test_a_model_that_is_not_there_is_looked_for_beside_it(tmp_path):
    (tmp_path / "shapes.keras").touch()
    with pytest.raises(ModelError, match="does not exist") as raised:
        Source(str(tmp_path / "shapes.kears")).kind()
    assert raised.value.fix == "did you mean shapes.keras?"
    with pytest.raises(ModelError) as raised:
        Source(str(tmp_path / "other.onnx")).kind()
    assert raised.value.fix == ""
