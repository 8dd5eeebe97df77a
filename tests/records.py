"""Records of run.json made in memory, valid with as few fields as a test gives."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from bitpick.schema.run import RequestRecord, Row, Run

Record = TypeVar("Record", bound=BaseModel)


def request(**fields: Any) -> RequestRecord:
    """A request for the basic preset."""
    return RequestRecord(
        **{
            "model": "model.onnx", "model_sha256": "1" * 64, "data": "tiny", "preset": "basic", "recipes": [],
            "engines": [], "calibration_size": 10, "seed": 0, "margin": "1%", "alpha": 0.05, "flag_drop": 0.05,
            "sha256": "2" * 64,
        }
        | fields
    )  # fmt: skip


def row(recipe: str = "e:s8u8-per_channel-minmax", **fields: Any) -> Row:
    """A row that is ok; its engine and its kind follow from the recipe."""
    engine, _, scheme = recipe.partition(":")
    kind = "baseline" if scheme == "float32" else "quantized"
    return Row(**{"id": recipe, "recipe": recipe, "engine": engine, "kind": kind, "status": "ok"} | fields)


def missing_row(recipe: str, status: str = "failed", reason: str = "no kernel", **fields: Any) -> Row:
    """A row without a build, and why."""
    return row(recipe, status=status, reason=reason, **fields)


MISSING_ROWS = (
    missing_row("a:s8dynamic", reason="out of memory"),
    missing_row("a:s8weights", status="unsupported"),
    missing_row("b:s8weights", status="unsupported"),
    row("b:s8dynamic"),
    missing_row("c:s8dynamic", status="unsupported", reason="no way there", out_of_reach=True),
    missing_row("c:s8weights", status="unsupported", reason="no way there", out_of_reach=True),
    missing_row("d:s8weights", status="unsupported", reason="not installed", out_of_reach=True),
)
"""Rows without a build, for reasons that some of them share, and one row that is ok."""


def changed(record: Record, /, **fields: Any) -> Record:
    """The same record with other values in some of its fields."""
    unknown = set(fields) - set(type(record).model_fields)
    assert not unknown, unknown
    return record.model_copy(update=fields)


def with_row(run: Run, row_id: str, /, **fields: Any) -> Run:
    """The same run with other values in some fields of one row."""
    assert run.row(row_id) is not None, row_id
    return changed(run, rows=tuple(changed(row, **fields) if row.id == row_id else row for row in run.rows))
