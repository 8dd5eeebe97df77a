from __future__ import annotations

import hashlib
import sys

import pytest

from bitpick.models.code_file import code_sha256
from bitpick.models.source import Source


@pytest.mark.parametrize("file", ["project/nets.py", "project/nets/__init__.py"])
@pytest.mark.parametrize("beside", [True, False])
def test_the_digest_sees_the_module_of_a_function_in_a_package(tmp_path, monkeypatch, file, beside):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path if beside else tmp_path / "here")
    monkeypatch.syspath_prepend(str(tmp_path / "here" if beside else tmp_path))
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / "project" / "__init__.py").touch()
    digests = set()
    for text in ("def build(): ...", "def build(): pass"):
        (tmp_path / file).write_text(text)
        digests.add(Source("project.nets:build", True).sha256())
    assert len(digests) == 2


def test_a_module_is_found_and_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for package in ("outer", "outer/inner"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('it was run')")
    text = b"raise SystemExit('it was run')"
    (tmp_path / "outer" / "inner" / "nets.py").write_bytes(text)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert code_sha256("outer.inner.nets:build") == hashlib.sha256(text).hexdigest()
    assert "outer" not in sys.modules


def test_the_file_beside_the_user_goes_before_one_on_the_path(tmp_path, monkeypatch):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "nets.py").write_text(f"where = '{folder}'")
    monkeypatch.syspath_prepend(str(tmp_path / "there"))
    monkeypatch.chdir(tmp_path)
    there = code_sha256("nets:build")
    monkeypatch.chdir(tmp_path / "here")
    assert code_sha256("nets:build") == hashlib.sha256(b"where = 'here'").hexdigest() != there


@pytest.mark.parametrize("module", ["no_such_module", "no_such_package.nets", "sys", "json.no_such_part"])
def test_where_there_is_no_file_there_is_no_digest(tmp_path, monkeypatch, module):
    monkeypatch.chdir(tmp_path)
    assert code_sha256(f"{module}:build") == ""
