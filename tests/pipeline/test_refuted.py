"""Why a hop did not pass: sides that are run again, and traced."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bitpick.errors import EngineError
from bitpick.models.model import Format
from bitpick.pipeline import plan, refuted
from bitpick.pipeline.arrays import save
from bitpick.pipeline.job import Job
from bitpick.schema.hop import Hop

RECORD = Hop(
    name="keras → raw_onnx", source=Format.KERAS, target=Format.RAW_ONNX, samples=4, max_abs_diff=1.0, rms_diff=0.5,
    channel_diff=0.5, bound=1e-5, passed=False,
)  # fmt: skip


@pytest.fixture
def explained(tmp_path, monkeypatch):
    """Explain the hop, where running a form again adds something to its outputs, or fails."""

    def explain(added: dict[str, float], fails: bool = False) -> str:
        store = SimpleNamespace(outputs=lambda form: tmp_path / f"{form}.outputs.npz")
        monkeypatch.setattr(
            plan, "run_form", lambda form, *_: Job("again", "env", "m", "run_form", {"form": form}, ("out",))
        )
        for form in (Format.KERAS, Format.RAW_ONNX):
            save(store.outputs(form), {"output0": np.ones((4, 3), np.float32)})

        def run(job):
            if fails:
                raise EngineError("it broke")
            outputs = np.ones((4, 3), np.float32) + np.float32(added.get(job.payload["form"], 0))
            save(job.payload["out"], {"output0": outputs})

        shop = SimpleNamespace(directory=store, runner=SimpleNamespace(run=run))
        return str(refuted.explain(RECORD, None, shop))

    return explain


def test_a_converter_is_blamed_where_both_sides_are_steady(explained):
    assert "please report it" in explained({})


@pytest.mark.parametrize("form", [Format.KERAS, Format.RAW_ONNX])
def test_a_model_that_is_not_steady_is_named(explained, form):
    text = explained({form: 0.1})
    assert f"the {form} model gives different outputs" in text
    assert "report" not in text


def test_a_side_that_cannot_be_run_again_changes_nothing(explained):
    assert "please report it" in explained({Format.KERAS: 0.1}, fails=True)
