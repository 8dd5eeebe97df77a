from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from bitpick.engines.engine import Build, SessionSettings
from bitpick.engines.pytorch_pt2e import engine as module
from bitpick.engines.pytorch_pt2e.engine import PyTorchPt2eEngine
from bitpick.errors import InstructionError, Unsupported
from bitpick.models.model import Format
from bitpick.recipe import Recipe, baseline
from bitpick.targets.host import this_host
from tests.engines.pytorch_pt2e.programs import write

ENGINE = PyTorchPt2eEngine()


def recipe(text):
    return Recipe.parse(f"pytorch_pt2e:{text}")


STATIC, EAGER = recipe("s8u8-per_channel-histogram"), recipe("float32+eager")


def test_what_a_program_computes_is_verified_without_a_compiler():
    assert ENGINE.float_recipe(Format.EXPORTED) == EAGER
    assert ENGINE.float_recipe(Format.PYTORCH) is None
    assert ENGINE.refusal(EAGER) is None


@pytest.mark.parametrize(("machine", "told"), [("x86_64", None), ("arm64", "X86InductorQuantizer is made for x86")])
def test_elsewhere_than_on_x86_quantized_recipes_are_rows_that_say_why_there_are_none(machine, told):
    floats, *quantized = ENGINE.recipes(None, replace(this_host(), machine=machine))
    assert floats.unsupported is None
    assert {offer.unsupported for offer in quantized} == {told}


def test_the_repair_of_saturating_products_is_a_narrower_range_once():
    assert ENGINE.repairs(STATIC) == [recipe("s8u8-per_channel-histogram+reduced_range")]
    assert ENGINE.repairs(ENGINE.repairs(STATIC)[0]) == []
    assert ENGINE.repairs(baseline("pytorch_pt2e")) == []


def test_a_finding_that_is_not_the_engines_has_no_fix():
    assert "choose another engine" in ENGINE.fix(STATIC, "container")
    assert ENGINE.fix(STATIC, "unfused") == ""


@pytest.mark.parametrize("asked", [STATIC, baseline("pytorch_pt2e")], ids=lambda each: each.id)
def test_without_a_compiler_a_build_is_refused_with_the_line_that_installs_one(monkeypatch, tmp_path, asked):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    with pytest.raises(
        Unsupported, match=r"no C\+\+ compiler on the PATH \(one of c\+\+, g\+\+, clang\+\+\)"
    ) as caught:
        ENGINE.build(tmp_path / "m.pt2", asked, None, None, tmp_path)
    assert "apt-get install g++" in caught.value.fix


def test_an_exported_program_ships_as_it_is_where_it_runs_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    (tmp_path / "m.pt2").write_bytes(b"a program")
    (tmp_path / "build").mkdir()
    build = ENGINE.build(tmp_path / "m.pt2", EAGER, None, None, tmp_path / "build")
    assert (build.files, build.main.read_bytes()) == (("model.pt2",), b"a program")


@pytest.mark.parametrize(
    ("features", "absent"),
    [
        ({"avx2"}, r"\(avx512_vnni, avx512f\)"),
        ({"avx2", "avx512f"}, r"\(avx512_vnni\)"),
        (set(), r"\(avx512_vnni, avx512f\)"),
    ],
)
def test_a_package_is_not_loaded_on_a_cpu_without_its_instructions(monkeypatch, tmp_path, features, absent):
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as package:
        metadata = json.dumps({"AOTI_CPU_ISA": "AVX512 AVX512_VNNI"})
        package.writestr("model/data/aotinductor/model/c.wrapper_metadata.json", metadata)
    monkeypatch.setattr(module, "reported_features", lambda: frozenset(features))
    monkeypatch.setitem(sys.modules, "torch", None)  # it cannot be imported
    with pytest.raises(InstructionError, match=f"instructions that this CPU does not have {absent}"):
        ENGINE.open(Build(STATIC, tmp_path, ("model.pt2",)), SessionSettings())


@pytest.mark.frameworks
@pytest.mark.parametrize("size", [None, 3])
def test_a_program_that_runs_as_it_is_answers_for_any_number_of_samples(tmp_path, size):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
    write(tmp_path / "m.pt2", size)
    (tmp_path / "build").mkdir()
    build = ENGINE.build(tmp_path / "m.pt2", EAGER, None, None, tmp_path / "build")
    batch = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    with ENGINE.open(build, SessionSettings()) as session:
        found = session.outputs(session.run(session.prepare((batch,))))
    np.testing.assert_allclose(found[0], batch + 1, rtol=1e-6)
    np.testing.assert_allclose(found[1], batch.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-6)


@pytest.mark.frameworks
def test_a_package_that_computes_something_else_is_refused():
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'bitpick[pytorch]'")
    expected = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    module._check((expected,), (expected + 0.05,))  # roundings
    with pytest.raises(Unsupported, match="compiles this model wrongly"):
        module._check((expected, expected), (expected, expected[::-1]))
