from __future__ import annotations

import hashlib

import pytest

from bitpick.errors import ModelError
from bitpick.model import Format, detect_format, sha256_of


def test_sha256_of(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_of(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("m.keras", b"PK\x03\x04rest", Format.KERAS),
        ("m.h5", b"\x89HDF\r\n\x1a\nrest", Format.KERAS),
        ("m.onnx", b"\x08\x08", Format.RAW_ONNX),
    ],
)
def test_formats_by_suffix_and_first_bytes(tmp_path, name, content, found):
    (tmp_path / name).write_bytes(content)
    assert detect_format(tmp_path / name) is found


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.keras", b"", "is empty"),
        ("m.h5", b"not HDF5 at all", "is not a .h5 file"),
        ("m.keras", b"\x89HDF\r\n\x1a\n", "is not a .keras file"),
        ("m.txt", b"hello", "unknown suffix '.txt'"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError) as error:
        detect_format(tmp_path / name)
    assert says in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        detect_format(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="is a directory"):
        detect_format(tmp_path)
