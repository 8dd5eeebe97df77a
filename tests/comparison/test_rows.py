"""Rows as they come, with the fake engine, in this process."""

from __future__ import annotations

import pytest

from bitpick.errors import raised_by_library
from bitpick.executors.inline import InlineExecutor
from bitpick.schema.fingerprint import Coverage, Grid


@pytest.mark.parametrize(
    ("option", "status", "says"),
    [
        ("error", "failed", "ArithmeticError"),
        ("absent", "unsupported", "was asked to lack it"),
        ("nan", "failed", "not finite, first for sample 0"),
    ],
)
def test_a_row_fails_alone(compare, monkeypatch, option, status, says):
    real = InlineExecutor.run

    def as_a_worker_would(self, environment, function, payload):
        try:
            return real(self, environment, function, payload)
        except (ArithmeticError, RuntimeError) as error:
            raise raised_by_library(error) from error

    monkeypatch.setattr(InlineExecutor, "run", as_a_worker_would)
    run = compare(f"fake:s8u8-per_tensor-minmax+{option}", "fake:s8s8-per_tensor-minmax")
    bad = run.row(f"fake:s8u8-per_tensor-minmax+{option}")
    assert bad.status == status
    assert says in bad.reason
    assert run.row("fake:s8s8-per_tensor-minmax").status == "ok"
    assert run.recommendation.id == "fake:s8s8-per_tensor-minmax"
    assert not [p for p in (compare.store.root / "builds").iterdir() if p.name.startswith("partial")]


@pytest.mark.parametrize(
    ("option", "codes"), [("half_float", ["partly_float"]), ("other_granularity", ["not_as_requested"])]
)
def test_a_build_that_is_not_what_was_asked_for_is_flagged(compare, option, codes):
    run = compare(f"fake:s8u8-per_channel-minmax+{option}", "fake:s8s8-per_tensor-minmax")
    row = run.row(f"fake:s8u8-per_channel-minmax+{option}")
    assert row.status == "ok"
    assert [flag.code for flag in row.flags] == codes
    assert row.coverage.macs == (0.5 if option == "half_float" else 1.0)
    assert run.recommendation.id == "fake:s8s8-per_tensor-minmax"


def test_a_build_in_which_nothing_that_was_asked_for_happened_fails(compare):
    run = compare("fake:s8u8-per_channel-minmax+float", "fake:s8s8-per_tensor-minmax")
    row = run.row("fake:s8u8-per_channel-minmax+float")
    assert row.status == "failed"
    assert row.reason.startswith("no part of this build runs as integers: the runtime executes Gemm dense")


def test_the_fingerprint_of_a_row_and_of_its_baseline(compare):
    run = compare("fake:s8u8-per_channel-minmax")
    build, floats = run.row("fake:s8u8-per_channel-minmax"), run.row("fake:float32")
    assert build.fingerprint.weights == Grid(dtype="s8", granularity="per_channel", symmetric=True, bits=8)
    assert build.fingerprint.activations == Grid(dtype="u8", granularity="per_tensor", symmetric=False, bits=8)
    assert build.coverage == Coverage(macs=1.0, weights=1.0, float_operators=[])
    assert floats.fingerprint.weights == Grid(dtype="float32")
    assert floats.coverage is None


def test_flags(compare):
    run = compare(flag_drop=0.0, min_accuracy=0.999)
    assert [f.code for f in run.row("fake:float32").flags] == ["min_accuracy"]
    for row in run.rows:
        if row.kind == "quantized" and row.status == "ok":
            assert ("drop" in [f.code for f in row.flags]) == (row.versus_baseline.drop > 0)
    assert run.recommendation.id is None
    assert "flagged" in run.recommendation.because[0]
