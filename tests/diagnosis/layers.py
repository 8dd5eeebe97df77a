"""Made-up layers."""

from __future__ import annotations

from bitpick.schema.diagnosis import Change, Layer

SAMPLES = 1000


def change(drop: float, sqnr_db: float | None = 20.0, macs: float | None = 1.0, wide: float = 0.005) -> Change:
    """A build that loses so much of 900 right predictions."""
    correct = round(900 - SAMPLES * drop)
    interval = (drop - wide, drop + wide)
    return Change(
        recipe="r", correct=correct, drop=drop, drop_interval=interval, flips=9, sqnr_db=sqnr_db, integer_macs=macs
    )


def layer(name: str, **fields: object) -> Layer:
    """A layer."""
    return Layer.model_validate({"name": name, "kind": "Conv", **fields})
