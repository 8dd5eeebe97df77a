from __future__ import annotations

import json

import pytest

from bitpick.api.runs import Comparison
from bitpick.commands import printing
from bitpick.schema.run import Run
from tests.commands.command import (
    compare,
)
from tests.example_runs import full_run


@pytest.mark.frameworks
def test_json_is_the_run_and_nothing_else_is_on_standard_output(place):
    done = compare(place, "--out", "run", "--json")
    run = json.loads((place / "run" / "run.json").read_text())
    assert run.pop("sha256")  # of the file
    assert json.loads(done.stdout) == run


def test_in_a_pipe_no_id_is_folded(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    name = "onnxruntime:s8u8-per_channel-percentile99.99+equalize+pool_as_mean+reduced_range+raw_graph@raspberry-pi-5"
    printing.stdout().print(name)
    assert capsys.readouterr().out == f"{name}\n"


def test_a_document_is_json_with_text_as_it_is(capsys):
    printing.print_json({"notes": ["R² is 0.5", None], "share": 0.5})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"notes": ["R² is 0.5", None], "share": 0.5}
    assert err == ""


@pytest.mark.parametrize("command", ["compare", "diagnose"])
def test_a_run_is_shown_as_what_it_is_or_as_json(tmp_path, capsys, command):
    run = full_run(tmp_path)
    diagnosis = run.diagnosis.model_copy(update={"worst": ()})
    found = Comparison(tmp_path, run.model_copy(update={"command": command, "diagnosis": diagnosis}))
    printing.show(found, as_json=False)
    told = capsys.readouterr().out
    assert ("only it quantized" in told) == (command == "diagnose")
    assert str(tmp_path) in "".join(told.split())
    printing.show(found, as_json=True)
    assert Run.model_validate_json(capsys.readouterr().out) == found.run
