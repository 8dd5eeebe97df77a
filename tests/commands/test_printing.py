from __future__ import annotations

import json

import pytest

from tests.commands.command import (
    compare,
)


@pytest.mark.frameworks
def test_json_is_the_run_and_nothing_else_is_on_standard_output(place):
    done = compare(place, "--out", "run", "--json")
    assert json.loads(done.stdout) == json.loads((place / "run" / "run.json").read_text())
