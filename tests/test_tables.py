"""What the docs say of the code is what the code says."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest
import typer

from bitpick.cli import app
from bitpick.schema.run import Row
from tests.pages import PAGES, ROOT


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "scripts" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = script()
MARKED = [page for page, path in PAGES.items() if "<!-- generated: " in path.read_text(encoding="utf-8")]


def test_every_marked_page_has_its_generators():
    assert sorted(MARKED) == sorted(f"docs/{page}" for page in tables.GENERATED)


@pytest.mark.parametrize("page", tables.GENERATED)
def test_a_page_is_up_to_date(page):
    assert tables.written(page) == (tables.DOCS / page).read_text(encoding="utf-8"), "make tables"


def test_every_option_and_every_field_is_there():
    found = tables.commands()
    for name, command in typer.main.get_command(app).commands.items():
        assert f"## {name}\n" in found
        for parameter in command.params:
            assert parameter.help
            assert parameter.help.replace("|", "\\|") in found
    assert all(f"| `{field}` |" in tables.schema() for field in Row.model_fields)


def test_a_docstring_is_taken_apart():
    told, sections = tables.docstring("""What it does.

    Why.

    Args:
        one: the first, of shape
            (n, 3).
        two: the second.

    Returns:
        Both.
    """)
    assert told == "What it does.\n\nWhy."
    assert tables.entries(sections["Args"]) == {"one": "the first, of shape (n, 3).", "two": "the second."}
    assert sections["Returns"] == "Both."


def test_markers_without_a_generator_are_refused(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text("<!-- generated: unknown -->\n<!-- end -->\n")
    monkeypatch.setattr(tables, "DOCS", tmp_path)
    monkeypatch.setitem(tables.GENERATED, "page.md", {"known": lambda: "text"})
    with pytest.raises(LookupError, match="unknown"):
        tables.written("page.md")
    (tmp_path / "page.md").write_text("before\n<!-- generated: known -->\nold\n<!-- end -->\nafter\n")
    assert re.fullmatch(
        r"before\n<!-- generated: known -->\n\ntext\n\n<!-- end -->\nafter\n", tables.written("page.md")
    )
