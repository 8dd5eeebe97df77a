from __future__ import annotations

import os
import shutil

import pytest

from bitpick.artifacts.watch import Watch, is_sealed, seal
from bitpick.errors import RequestError


@pytest.mark.parametrize("how", ["edited", "replaced", "replaced by one of the same size and age", "removed"])
def test_a_file_that_is_watched_must_stay_as_it_is(tmp_path, how):
    file, other = tmp_path / "model.onnx", tmp_path / "other"
    file.write_bytes(b"abc")
    watch = Watch()
    watch.add([file])
    watch.add([file])
    watch.check()
    file.read_bytes()
    watch.check()
    if how == "edited":
        file.write_bytes(b"abd")
        os.utime(file, ns=(0, 0))
    elif how == "removed":
        file.unlink()
    else:
        other.write_bytes(b"abd")
        if how != "replaced":
            shutil.copystat(file, other)
        other.replace(file)
    with pytest.raises(RequestError, match="changed while it was in use"):
        watch.check()


def test_a_seal_holds_for_the_bytes_and_for_what_they_were_made_from(tmp_path):
    file, other = tmp_path / "a.json", tmp_path / "b.json"
    file.write_text("ranges")
    assert not is_sealed(file, "key")
    seal(file, "key")
    assert is_sealed(file, "key")
    assert not is_sealed(file, "another key")
    for name in ("", ".seal"):  # brought from elsewhere, with the seal that it had there
        shutil.copy(f"{file}{name}", f"{other}{name}")
    assert not is_sealed(other, "other key")
    file.write_text("edited")
    assert not is_sealed(file, "key")
    file.unlink()
    assert not is_sealed(file, "key")


def test_a_folder_is_sealed_with_all_its_files(tmp_path):
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "data").write_text("weights")
    seal(folder, "key")
    assert is_sealed(folder, "key")
    (folder / "variables" / "data").write_text("others")
    assert not is_sealed(folder, "key")
