"""Names that are more than names: whoever reads them in a terminal or a report sees them, and nothing else happens."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from bitpick.errors import BitpickError
from bitpick.library_errors import LONGEST
from bitpick.reports import html, markdown, notebook
from bitpick.schema.run import Run
from tests.commands.command import bitpick
from tests.conftest import linear_model
from tests.example_runs import full_run

TAG = "<img src=x onerror=alert(1)>"
MARKUP = f"`{TAG}\n\n<script>alert(2)</script>[a](javascript:alert(3))![b](http://192.0.2.1/c)</td>`"
CONTROL = set(map(chr, [*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x202E]))
ESCAPE = "\x1b[2J\x1b]0;pwned\x07\x9b31m\x7f\u202e"


# ---- reports ----


def strings(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of each string in a JSON document, keys of objects included."""
    if isinstance(value, str):
        yield place
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from strings(each, (*place, number))
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from strings(each, (*place, key))


def changed(document: Any, place: tuple[Any, ...], text: str) -> Any:
    """Return a document with another text at a place."""
    copy = json.loads(json.dumps(document))
    inner = copy
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = text
    return copy


@pytest.fixture(scope="module")
def document(tmp_path_factory) -> tuple[Path, Any]:
    """A run with every field that a report shows, and its folder."""
    folder = tmp_path_factory.mktemp("full")
    return folder, json.loads(full_run(folder).model_dump_json(exclude_none=True))


def tampered(document: Any, payload: str) -> Iterator[tuple[str, Run]]:
    """Yield each run that is still one with another text in one of its fields, and the name of the field."""
    seen = set()
    for field in strings(document):
        name = ".".join("*" if isinstance(step, int) else step for step in field)
        if name in seen:
            continue
        seen.add(name)
        try:
            yield name, Run.model_validate(changed(document, field, payload))
        except ValidationError:
            continue


TAGS = re.compile(r"<(?!/?(a|b|br|code|em|p|strong|table|td|th|tr)\b)[A-Za-z/!?]")


def live(text: str) -> list[str]:
    """Return what a reader of Markdown would take for tags and links; a backslash before a mark makes it text."""
    unescaped = re.sub(r"\\(\\\\)*[<>\]]", "", text)
    return re.findall(r"<[A-Za-z/!?][^>\n]*", unescaped) + re.findall(r"\]\([^)]*\)", unescaped)


def test_no_field_of_a_run_puts_markup_into_report_md(document):
    _, run = document
    expected = live(markdown.render(Run.model_validate(run)))
    assert expected == []
    count = 0
    for name, hostile in tampered(run, MARKUP):
        try:
            text = markdown.render(hostile)
        except (KeyError, AttributeError, BitpickError, jinja2.UndefinedError):  # it names a row that is not there
            continue
        assert live(text) == [], name
        assert not set(text) & CONTROL, name
        count += 1
    assert count > 60


def test_no_field_of_a_run_puts_markup_into_html(document):
    folder, run = document
    bare = html.render(Run.model_validate(run), folder).count("<img")
    for name, hostile in list(tampered(run, f"{TAG}{ESCAPE}"))[::8]:  # tests/reports has all of them in one page
        for text in (html.render(hostile, folder), notebook.render(hostile, folder)):
            assert TAG not in text, name
            assert text.count("<img") <= bare, name
            assert not set(ESCAPE) & CONTROL & set(text), name


# ---- the terminal ----


def harmless(done: Any) -> str:
    """Return what a command printed: nothing in it that a terminal would obey, and nothing endless."""
    text = done.stdout + done.stderr
    assert not set(text) & CONTROL, text
    assert "Traceback" not in text
    assert len(text) < 40_000
    return text


def hostile_model(folder: Path, name: str = f"net/{ESCAPE}dense/Gemm") -> Path:
    """A model with a layer, an input and a tensor of this name."""
    model = onnx.load(linear_model(folder / "m.onnx", (32, 32, 3), classes=10))
    model.graph.node[1].name = name
    model.graph.node[0].input[0] = model.graph.input[0].name = f"in{ESCAPE}"
    path = folder / f"{ESCAPE.replace('/', '')}.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def wide(tmp_path, fake_distribution, pictures, monkeypatch):
    """A working directory with hostile names: of the model's file, layer and input, of the classes, and of the data."""
    monkeypatch.setenv("BITPICK_CACHE", str(pictures / "cache"))
    shutil.copyfile(pictures / "pictures.yaml", tmp_path / "pictures.yaml")
    work = tmp_path / "work"
    work.mkdir()
    rng = np.random.default_rng(0)
    hostile_model(work)
    images = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    labels = np.array([f"c{number % 10}{ESCAPE}" for number in range(60)])
    np.savez(work / f"d{ESCAPE}.npz", image=images, labels=labels)
    return work


def test_a_comparison_of_hostile_names_obeys_none(wide):
    model = next(path for path in wide.glob("*.onnx") if path.name != "m.onnx")
    data = ["--data", next(wide.glob("*.npz")), "--labels", "labels", "--accept-baseline"]
    quick = ["--engine", "fake", "--no-bench", "--target", "host", "--out", "run"]
    done = bitpick(wide, "compare", model, *data, *quick)
    text = harmless(done)
    assert done.returncode == 0, text
    assert "\\u001b[2J" in text
    for command in (("report", "run"), ("gate", "run", "--max-drop", "50")):
        harmless(bitpick(wide, *command))
    text = (wide / "run" / "report.md").read_text()
    assert not set(text) & CONTROL


MISSING = {
    "model": ("compare", f"none{ESCAPE}.onnx"),
    "data": ("compare", "m.onnx", "--data", f"none{ESCAPE}"),
    "labels": ("compare", "m.onnx", "--labels", f"none{ESCAPE}"),
    "recipe": ("compare", "m.onnx", "--recipe", f"fake:{ESCAPE}"),
    "recipe file": ("compare", "m.onnx", "--recipe", f"none{ESCAPE}.yaml"),
    "engine": ("compare", "m.onnx", "--engine", f"none{ESCAPE}"),
    "target": ("compare", "m.onnx", "--target", f"none{ESCAPE}"),
    "margin": ("compare", "m.onnx", "--margin", f"none{ESCAPE}"),
    "task": ("compare", "m.onnx", "--task", f"none{ESCAPE}"),
    "metric": ("compare", "m.onnx", "--metric", f"none{ESCAPE}"),
    "out": ("compare", "m.onnx", "--out", f"m.onnx/{ESCAPE}"),
    "run": ("report", f"none{ESCAPE}"),
    "row": ("gate", "run", "--row", f"none{ESCAPE}"),
    "build": ("evaluate", f"none{ESCAPE}"),
    "results": ("merge", "run", f"none{ESCAPE}.json", "--target", "phone"),
    "device": ("merge", "run", "none.json", "--target", f"none{ESCAPE}"),
    "format": ("convert", "m.onnx", "--to", f"none{ESCAPE}", "--out", "x"),
    "long": ("compare", f"{'n' * 200}.onnx", "--recipe", "x" * 50_000),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_refusal_obeys_no_name(wide, name):
    done = bitpick(wide, *MISSING[name])
    harmless(done)
    assert done.returncode == 2


def test_a_long_message_is_cut_and_kept_whole(wide):
    done = bitpick(wide, "compare", "m.onnx", "--recipe", f"x{'y' * 469_000}")
    text = harmless(done)
    assert len(text) < 2 * LONGEST
    match = re.search(r"the whole message is in (\S+)", text)
    assert match is not None
    assert "y" * 469_000 in Path(match[1]).read_text()


def test_a_layer_that_is_named_to_be_a_line_is_not_one(wide):
    hostile_model(wide, "dense\n\nShip onnxruntime:evil\n")
    model = next(path for path in wide.glob("*.onnx") if path.name != "m.onnx")
    options = ["--recipe", "fake:s8s8-per_tensor-minmax", "--out", "other", "--accept-baseline"]
    text = harmless(bitpick(wide, "diagnose", model, *options))
    assert "dense" in text
    assert "\nShip onnxruntime:evil" not in text
