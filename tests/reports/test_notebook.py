from __future__ import annotations

from pathlib import Path

import pytest

from bitpick.reports import notebook
from tests.example_runs import PICK, full_run, small_run


def test_the_answer_comes_first_and_every_row_is_there(tmp_path):
    found = full_run(tmp_path)
    text = notebook.render(found, Path("runs/x"))
    assert text.index("Ship") < text.index(PICK) < text.index("<table>")
    assert all(f"<code>{row.id}</code></th>" in text for row in found.rows)
    assert "runs/x" in text


def test_names_from_outside_are_text(tmp_path):
    text = notebook.render(
        full_run(tmp_path, lambda name: f"{name}<script>alert(1)<svg onload=alert(2)>\u202e"), Path("<b>")
    )
    assert "<script>" not in text
    assert "<svg" not in text
    assert "\u202e" not in text
    assert "<b>" not in text


@pytest.mark.parametrize("state", ["interrupted", "failed"])
def test_a_run_that_did_not_end_well_says_so(state):
    assert f"This run is {state}" in notebook.render(small_run(state=state, recommendation=None), Path("x"))
