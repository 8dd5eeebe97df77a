from __future__ import annotations

from pathlib import Path

import pytest

from bitpick.artifacts import code


@pytest.fixture
def sources(tmp_path, monkeypatch) -> Path:
    for name in ("recipe.py", "api/runs.py", "reports/html.py", "engines/a/engine.py", "engines/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}")
    monkeypatch.setattr(code, "_ROOT", tmp_path)
    return tmp_path


def revision() -> str:
    return code.revision.__wrapped__()  # read anew


@pytest.mark.parametrize("name", ["recipe.py", "engines/a/engine.py", "engines/new.py"])
def test_code_that_makes_something_changes_it(sources, name):
    before = revision()
    assert revision() == before
    (sources / name).write_text("changed")
    assert revision() != before


@pytest.mark.parametrize("name", ["api/runs.py", "reports/html.py", "reports/new.py", "engines/a/notes.md"])
def test_code_that_only_asks_and_shows_does_not(sources, name):
    before = revision()
    (sources / name).write_text("changed")
    assert revision() == before


def test_a_file_under_another_name_is_other_code(sources):
    before = revision()
    (sources / "engines" / "b.py").rename(sources / "engines" / "c.py")
    assert revision() != before


def test_it_is_of_the_code_that_runs():
    assert (code._ROOT / "artifacts" / "code.py").samefile(code.__file__)
    assert all((code._ROOT / room).is_dir() for room in code._EXCLUDED)
