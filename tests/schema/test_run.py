from __future__ import annotations

import pytest
from pydantic import ValidationError

from bitpick.schema.run import Run
from tests.records import row


def test_what_was_not_measured_is_absent_from_the_file():
    assert set(row("e:float32").model_dump(exclude_none=True)) == {
        "id", "recipe", "engine", "target", "kind", "measured", "status", "flags", "seconds", "cpu_seconds",
    }  # fmt: skip


def test_unknown_fields_and_flag_codes_are_refused():
    with pytest.raises(ValidationError):
        row(speed=1)
    with pytest.raises(ValidationError):
        row(flags=[{"code": "odd", "text": "x"}])


def test_a_run_finds_its_rows():
    run = Run.model_construct(rows=[row(), row(id="e:s8")])
    assert run.row("e:s8").id == "e:s8"
    assert run.row("f:s8") is None
