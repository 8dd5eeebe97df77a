"""The files and the examples in the docs are what the pages say; their commands are in test_docs_commands."""

from __future__ import annotations

import re

import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from bitpick.api import bundled_model
from bitpick.datasets import options
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.engines.registry import engines
from bitpick.recipe import Recipe
from bitpick.targets.host import this_host
from bitpick.targets.target import target
from tests.pages import PAGES, blocks

README = PAGES["README.md"].read_text(encoding="utf-8")


YAML = [(page, content) for page, path in PAGES.items() for content in blocks(path.read_text(encoding="utf-8"), "yaml")]


@pytest.mark.parametrize(("page", "content"), YAML, ids=[page for page, _ in YAML])
def test_a_file_in_the_docs_is_what_it_is_said_to_be(page, content, tmp_path):
    path = tmp_path / "my-file.yaml"
    path.write_text(content)
    if page.endswith("targets.md"):
        assert target(str(path)).name == "old-server"
    elif page.endswith("data.md"):
        assert options.read(path).said
    elif page.endswith("ci.md"):
        (job,) = yaml.safe_load(content)["jobs"].values()
        assert all(step.keys() & {"uses", "run"} for step in job["steps"])
    else:
        recipe = Recipe.named(str(path))
        assert engines()[recipe.engine].refusal(recipe) is None


@pytest.mark.parametrize("page", PAGES)
def test_every_recipe_in_the_docs_is_one(page):
    for text in re.findall(rf"\b(?:{'|'.join(engines())}):\w[\w+.-]*\w", PAGES[page].read_text(encoding="utf-8")):
        if re.search(r"\.[0-9a-f]{8}$", text):
            continue  # of a file
        recipe = Recipe.parse(text)
        refusal = engines()[recipe.engine].refusal(recipe)
        assert refusal is None or text == "pytorch_fx:u8u8-per_channel-histogram", refusal


@pytest.mark.data
@pytest.mark.frameworks
@pytest.mark.usefixtures("no_emulator")
@pytest.mark.shared_store
def test_the_python_example_in_the_readme(cifar10, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(README, "python")
    (tmp_path / "model.keras").write_bytes(bundled_model().with_suffix(".keras").read_bytes())
    exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "onnxruntime:float32 ok 89.34%" in out


def test_the_engine_that_the_guide_adds(compare, use_engines):
    (code,) = blocks(PAGES["docs/how-to/adding-an-engine.md"].read_text(encoding="utf-8"), "python")
    space: dict = {}
    exec(compile(code, "adding-an-engine.md", "exec"), space)
    use_engines(space["OnnxReferenceEngine"](), OnnxRuntimeEngine())
    asked = ["onnx_reference:float16", "onnxruntime:s8u8-per_channel-minmax"]  # half precision is no quantization
    rows = {row.id: row for row in compare(*asked, engines=(), calibration_size=10).rows}
    assert {row.status for row in rows.values()} == {"ok"}
    assert rows["onnx_reference:float16"].kind == "reduced_precision"
    assert rows["onnx_reference:float16"].versus_baseline.drop < 0.01


def test_the_pass_that_the_guide_adds(tmp_path):
    (code,) = blocks(PAGES["docs/how-to/adding-a-pass.md"].read_text(encoding="utf-8"), "python")
    space: dict = {}
    exec(compile(code, "adding-a-pass.md", "exec"), space)
    assert space["PASS"].name in code
    nodes = [helper.make_node("Identity", ["x"], ["i"], "same"), helper.make_node("Relu", ["i"], ["y"], "relu")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])), tmp_path / "a.onnx")
    assert space["apply"](str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx")).changed == ["same"]
    assert [node.op_type for node in onnx.load(tmp_path / "b.onnx").graph.node] == ["Relu"]
    onnx.checker.check_model(tmp_path / "b.onnx")
    assert space["apply"](str(tmp_path / "b.onnx"), str(tmp_path / "c.onnx")).changed == []


def test_the_target_that_the_guide_adds():
    (code,) = blocks(PAGES["docs/how-to/adding-a-target.md"].read_text(encoding="utf-8"), "python")
    space: dict = {}
    exec(compile(code, "adding-a-target.md", "exec"), space)
    assert space["NEON"].missing(this_host()) is None or "qemu-user" in space["NEON"].missing(this_host())


def test_the_model_card_says_what_the_files_are():
    card = bundled_model().with_suffix(".md").read_text()
    assert "8,934 of 10,000" in card
    graph = onnx.load(bundled_model().with_suffix(".onnx")).graph
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim][1:] == [32, 32, 3]
    assert bundled_model().with_suffix(".keras").stat().st_size < 500_000
