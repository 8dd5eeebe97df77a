from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from bitpick.schema.run import Run
from tests.example_runs import PICK, full_run


def at(record, *place):
    for step in place:
        record = record[step]
    return record


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("latency", "p50"), -1e-9),
        (("latency", "p90"), float("inf")),
        (("latency", "pairs"), 0),
        (("throughput", "batch"), 0),
        (("seconds", "build"), -1),
        (("files", 0, "bytes"), -1),
        (("accuracy", "value"), 1.01),
        (("accuracy", "correct"), -1),
        (("coverage", "macs"), -0.01),
        (("size_bytes",), -1),
    ],
)
def test_a_record_with_an_impossible_number_is_refused(tmp_path, place, value):
    record = full_run(tmp_path).model_dump(mode="json", exclude_none=True)
    row = next(row for row in record["rows"] if row["id"] == PICK)
    Run.model_validate_json(json.dumps(record))
    at(row, *place[:-1])[place[-1]] = value
    with pytest.raises(ValidationError, match=place[-1]):
        Run.model_validate_json(json.dumps(record))
