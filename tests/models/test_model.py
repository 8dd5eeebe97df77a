from __future__ import annotations

import hashlib

from bitpick.models.model import model_sha256, sha256_of


def test_sha256_of(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_of(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


def test_the_digest_of_a_folder_is_that_of_all_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_bytes(b"abc")
    before = model_sha256(tmp_path)
    (tmp_path / "a" / "f").rename(tmp_path / "g")
    assert model_sha256(tmp_path) != before
