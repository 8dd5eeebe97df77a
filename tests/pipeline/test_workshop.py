from __future__ import annotations

import pytest

from bitpick.errors import BitpickError
from bitpick.pipeline.form_job import FUNCTIONS
from bitpick.pipeline.job import Job


def test_a_job_is_told_as_it_starts_and_as_it_ends(new_shop, model_file, monkeypatch):
    shop, told = new_shop(), []
    monkeypatch.setattr(shop.listener, "started", lambda job: told.append(f"{job.id} starts"), raising=False)
    monkeypatch.setattr(shop.listener, "ended", lambda job: told.append(f"{job.id} ends"))
    done = shop.do(Job("look", "env", FUNCTIONS, "is_quantized", {"source": model_file}))
    assert done.value is False
    assert told == ["look starts", "look ends"]


def test_what_a_job_raises_goes_through(new_shop, tmp_path):
    (tmp_path / "odd.onnx").write_text("no model")
    shop = new_shop()
    with pytest.raises(BitpickError):
        shop.do(Job("look", "env", FUNCTIONS, "describe", {"source": tmp_path / "odd.onnx"}))


def test_what_is_noted_of_a_model_is_kept_and_told_once(new_shop):
    shop = new_shop()
    for text in ("one", "two", "one"):
        shop.note(text)
    assert shop.run.model.notes == ("one", "two")
    assert shop.listener.notes == ["one", "two"]


def test_what_is_strange_about_the_data_is_kept_with_the_data(prepared):
    run = prepared()
    before = run.shop.run.data.notes
    run.shop.remark("they look alike")
    assert run.shop.run.data.notes == (*before, "they look alike")
    assert run.listener.notes[-1] == "they look alike"
