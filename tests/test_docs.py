"""What the docs say is run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bitpick.api import bundled_model
from bitpick.comparison.compare import Comparison, new_run
from bitpick.comparison.listener import Silent
from bitpick.comparison.request import make_request
from bitpick.comparison.store import Store
from bitpick.engines.onnxruntime import OnnxRuntimeEngine
from bitpick.engines.registry import engines
from bitpick.executors.inline import InlineExecutor
from bitpick.host import target, this_host
from bitpick.recipe import Recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)


DIAGNOSE = (ROOT / "docs" / "how-to" / "diagnose.md").read_text()
COMMANDS = [
    line.removeprefix("$ ")
    for block in blocks(README, "console") + blocks(DIAGNOSE, "console")
    for line in block.splitlines()
    if line.startswith("$ bitpick")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_the_readme_is_one(command):
    """Every option exists: with --help behind it the command parses, and runs nothing."""
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command), "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_the_recipe_file_in_the_readme_is_one(tmp_path):
    (content,) = blocks(README, "yaml")
    (tmp_path / "my-recipe.yaml").write_text(content)
    recipe = Recipe.named(str(tmp_path / "my-recipe.yaml"))
    assert engines()[recipe.engine].refusal(recipe) is None


@pytest.mark.parametrize("page", ["recipes", "targets"])
def test_the_files_in_the_docs_are_what_they_are_said_to_be(tmp_path, page):
    found = blocks((ROOT / "docs" / "reference" / f"{page}.md").read_text(), "yaml")
    assert found
    for number, content in enumerate(found):
        path = tmp_path / f"my-{number}.yaml"
        path.write_text(content)
        if page == "targets":
            assert target(str(path)).name == "old-server"
        else:
            recipe = Recipe.named(str(path))
            assert engines()[recipe.engine].refusal(recipe) is None


def test_the_readme_names_every_command():
    shown = {command.split()[1] for command in COMMANDS}
    told = subprocess.run(
        [sys.executable, "-m", "bitpick", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert shown == set(re.findall(r"^  (\w+) ", told.partition("Commands:")[2], flags=re.MULTILINE))


def test_every_recipe_in_the_docs_is_one():
    for path in (ROOT / "README.md", ROOT / "docs" / "reference" / "reproduction.md"):
        for text in re.findall(r"\b(?:keras|onnxruntime|pytorch_fx):[\w+.-]*\w", path.read_text()):
            recipe = Recipe.parse(text)
            refusal = engines()[recipe.engine].refusal(recipe)
            assert refusal is None or text == "pytorch_fx:u8u8-per_channel-histogram", refusal


@pytest.mark.data
@pytest.mark.frameworks
def test_the_python_example_in_the_readme(cifar10, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(README, "python")
    (tmp_path / "model.keras").write_bytes(bundled_model().with_suffix(".keras").read_bytes())
    exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "onnxruntime:float32 ok 0.8934" in out


def test_the_engine_that_the_guide_adds(model_file, dataset, tmp_path, use_engines):
    (code,) = blocks((ROOT / "docs" / "how-to" / "adding-an-engine.md").read_text(), "python")
    space: dict = {}
    exec(compile(code, "adding-an-engine.md", "exec"), space)
    use_engines(space["OnnxReferenceEngine"](), OnnxRuntimeEngine())
    request, form = make_request(
        model_file, "tiny", engine_names=["onnx_reference"], calibration_size=10, bench_seconds=0
    )
    store = Store(tmp_path / "run", new_run(request, form, this_host(), 1, "compare"))
    comparison = Comparison(store, this_host(), InlineExecutor(), 1, Silent(), InlineExecutor)
    with pytest.raises(Exception, match="no quantized row is ok"):  # half precision is no quantization
        comparison.compare(lambda _: dataset)
    rows = {row.id: row for row in store.run.rows}
    assert {row.status for row in rows.values()} == {"ok"}
    assert rows["onnx_reference:float16"].kind == "reduced_precision"
    assert rows["onnx_reference:float16"].versus_baseline.drop < 0.01


def test_the_model_card_says_what_the_files_are():
    import onnx

    card = bundled_model().with_suffix(".md").read_text()
    assert "8,934 of 10,000" in card
    graph = onnx.load(bundled_model().with_suffix(".onnx")).graph
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim][1:] == [32, 32, 3]
    assert bundled_model().with_suffix(".keras").stat().st_size < 500_000
