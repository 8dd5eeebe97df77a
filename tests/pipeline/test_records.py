from __future__ import annotations

import json

import pytest

from bitpick.models.model import Format
from bitpick.pipeline import records
from bitpick.pipeline.request import new_run
from bitpick.schema.run import Run
from bitpick.targets.host import this_host
from tests.records import request, row


@pytest.fixture
def text() -> str:
    run = new_run(request(), Format.RAW_ONNX, this_host(), 1, "compare")
    return records.text_of(run.model_copy(update={"rows": (row("e:float32"),)}))


def test_a_record_holds_as_it_was_written(text):
    assert records.holds(text.encode())
    assert list(json.loads(text))[-1] == "sha256"
    run = Run.model_validate_json(text)
    assert run.rows[0].id == "e:float32"
    assert records.text_of(run) == text


@pytest.mark.parametrize("old", ['"e:float32"', '"running"', '"sha256": "'])
def test_a_record_that_was_changed_does_not_hold(text, old):
    assert not records.holds(text.replace(old, old[:-2] + "x" + old[-2:], 1).encode())
    assert not records.holds(json.dumps(json.loads(text)).encode())


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{\n "schema_version": 1\n}\n'])
def test_what_has_no_digest_does_not_hold(content):
    assert not records.holds(content)
