from __future__ import annotations

from bitpick.errors import OperatorError, RequestError
from bitpick.schema.failure import Failure


def test_an_error_is_told_with_its_kind_and_its_fix():
    found = Failure.of(RequestError("it is wrong", expected="right", fix="turn it round"), "logs")
    assert found.model_dump() == {
        "kind": "RequestError", "what": "it is wrong", "expected": "right", "fix": "turn it round", "logs": "logs",
    }  # fmt: skip


def test_what_an_error_does_not_say_is_absent():
    found = Failure.of(OperatorError("no such operator"))
    assert found.model_dump(exclude_none=True) == {"kind": "OperatorError", "what": "no such operator"}
