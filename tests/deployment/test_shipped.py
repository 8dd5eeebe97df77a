"""What ships beside a build's files."""

from __future__ import annotations

import ast
import runpy
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from PIL import Image

from bitpick.datasets import images
from bitpick.deployment import shipped
from bitpick.engines.engine import Build
from bitpick.engines.fake.engine import FakeEngine
from bitpick.engines.onnxruntime.engine import OnnxRuntimeEngine
from bitpick.models.interface import Input, Interface, Output
from bitpick.preprocessing import Decoding, Preprocessing
from bitpick.recipe import Recipe
from tests.alone import results, run_py

FAKE = Recipe.parse("fake:float32")
CLASSES = ("ant", "bee", "cow", "dog")


def interface(*inputs: Input, classes: tuple[str, ...] = CLASSES) -> Interface:
    outputs = (Output(name="scores", shape=(4,)),)
    return Interface(inputs=inputs, outputs=outputs, task="classification", classes=classes)


def image(shape=(4, 4, 3), **fields) -> Input:
    return Input(name="image", shape=shape, preprocessing=Preprocessing(**fields), stored="uint8")


def build(folder, about: Interface) -> Build:
    """A linear layer over all inputs' numbers, as the fake engine keeps it, and what ships with it."""
    numbers = int(np.prod([size or 1 for size in about.inputs[0].shape]))
    weight = np.random.default_rng(0).normal(size=(numbers, 4)).astype(np.float32)
    np.savez(folder / "model.npz", names=np.array(["dense"]), weight0=weight, bias0=np.zeros(4, np.float32))
    made = Build(FAKE, folder, ("model.npz",), {"a": 'quoted "words"'}, about)
    shipped.write(FakeEngine(), made, about)
    return made


def loaded(folder) -> dict:
    """The names that `run.py` defines."""
    return runpy.run_path(str(folder / "run.py"))


class Passing:
    """A build that hands on what it is given."""

    batch = 1

    def prepare(self, inputs):
        return inputs


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "build").mkdir()
    return tmp_path / "build"


def test_a_build_ships_with_labels_and_a_program(folder):
    made = build(folder, interface(image()))
    assert {path.name for path in folder.iterdir()} == {"model.npz", "labels.txt", "run.py"}
    assert (folder / "labels.txt").read_text().splitlines() == list(CLASSES)
    text = (folder / "run.py").read_text()
    ast.parse(text)
    assert "bitpick" not in text
    assert len(text.splitlines()) < 170
    assert max(map(len, text.splitlines())) <= 120
    assert text == shipped.run_py(FakeEngine.runner, made, made.interface)


def test_without_classes_there_are_no_labels(folder, tmp_path):
    build(folder, interface(image((4,)), classes=()))
    assert {path.name for path in folder.iterdir()} == {"model.npz", "run.py"}
    np.save(tmp_path / "one.npy", np.ones(4, np.float32))
    done = run_py(folder, tmp_path / "one.npy")
    assert done.stdout.startswith("scores: ["), done.stderr
    (tmp_path / "some").mkdir()
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / "some" / name, np.ones(4, np.float32))
    lines = run_py(folder, tmp_path / "some").stdout.splitlines()
    assert [line for line in lines if line.endswith(".npy:")] == ["a.npy:", "b.npy:"]


@pytest.mark.parametrize("shape", [(1,), (), (1, 1, 1)])
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_one_score_tells_two_labels_apart(folder, shape, threshold):
    outputs = (Output(name="score", shape=shape),)
    about = {"task": "classification", "classes": ("-1", "1"), "threshold": threshold}
    build(folder, Interface(inputs=(image((4,)),), outputs=outputs, **about))
    told = loaded(folder)["told"]
    assert told([np.full(shape, threshold - 0.25)]).split()[1] == "-1"
    assert told([np.full(shape, threshold + 0.25)]) == f"{threshold + 0.25:10.4f}  1"


def test_an_engine_without_a_runner_ships_no_program(folder):
    class Silent(FakeEngine):
        runner = None

    shipped.write(Silent(), Build(FAKE, folder, ("model.npz",)), interface(image()))
    assert [path.name for path in folder.iterdir()] == ["labels.txt"]


def test_the_program_leaves_nothing_in_the_home_of_its_user(folder, tmp_path):
    """ONNX Runtime's telemetry would keep an id there, and report to its maker."""
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "m.onnx")
    engine, home = OnnxRuntimeEngine(), tmp_path / "home"
    about = interface(Input(name="x", shape=(4,)), classes=())
    shipped.write(engine, Build(Recipe.parse("onnxruntime:float32"), folder, ("m.onnx",)), about)
    np.save(tmp_path / "one.npy", np.ones(4, np.float32))
    home.mkdir()
    done = run_py(folder, tmp_path / "one.npy", home=home)
    assert done.stdout.startswith("scores: ["), done.stderr
    assert list(home.iterdir()) == []


def test_a_label_stays_in_its_line(folder):
    build(folder, interface(image(), classes=("a\nb", "c", "d", "e")))
    assert (folder / "labels.txt").read_text().splitlines() == ["a b", "c", "d", "e"]


def test_names_are_text_and_nothing_else(folder):
    name = 'in"""); raise SystemExit(7)  # {x} \\ \n'
    build(folder, interface(Input(name=name, shape=(4,))))
    assert loaded(folder)["INPUTS"][0]["name"] == name
    two = interface(Input(name=name, shape=(4,)), Input(name="b", shape=(4,)))
    build(folder, two)
    assert [each["name"] for each in loaded(folder)["INPUTS"]] == [name, "b"]


numbers = st.floats(-300, 300, width=32)
channels = st.one_of(numbers, st.tuples(numbers, numbers, numbers))
scales = st.floats(0.25, 300, width=32)


@given(
    offset=channels,
    scale=st.one_of(scales, st.tuples(scales, scales, scales)),
    reverse_channels=st.booleans(),
    channels_first=st.booleans(),
    stored_channels_first=st.booleans(),
    dtype=st.sampled_from(["float32", "float16", "int32", "uint8"]),
    flat=st.booleans(),
)
def test_a_sample_is_prepared_as_it_was_for_the_measurements(tmp_path_factory, flat, **fields):
    shape = (3, 4, 5) if fields["stored_channels_first"] else (4, 5, 3)
    preprocessing = Preprocessing(shape=shape if flat else None, **fields)
    sample = np.random.default_rng(0).integers(0, 256, 60 if flat else shape, dtype=np.uint8)
    with np.errstate(invalid="ignore"):
        wanted = preprocessing(sample[None])
        folder = tmp_path_factory.mktemp("build")
        given = {"shape": wanted.shape[1:], "preprocessing": preprocessing, "stored_shape": sample.shape}
        build(folder, interface(Input(name="x", **given)))
        (found,) = loaded(folder)["prepared"](Passing(), "x", [sample])
    assert found.dtype == wanted.dtype
    assert found.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(found, wanted)


def test_a_graph_that_takes_several_samples_gets_one_of_them_as_often(folder):
    class Four(Passing):
        batch = 4

    build(folder, interface(image()))
    sample = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    (found,) = loaded(folder)["prepared"](Four(), "x", [sample])
    assert found.shape == (4, 4, 4, 3)
    assert (found == sample).all()


def test_a_picture_is_no_sample_of_what_was_no_pixels(folder, tmp_path):
    picture(tmp_path / "a.png", 4, 4)
    build(folder, interface(Input(name="image", shape=(4, 4, 3), stored="float32")))
    done = run_py(folder, tmp_path / "a.png")
    assert "a.png is no sample: a sample is a .npy file" in done.stderr


def picture(path, width, height, mode="RGB"):
    rng = np.random.default_rng(3)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_a_picture_of_the_right_size_is_its_pixels(folder, tmp_path):
    pixels = picture(tmp_path / "a.png", 4, 4)
    build(folder, interface(image()))
    (found,) = loaded(folder)["read"](tmp_path / "a.png")
    np.testing.assert_array_equal(found, pixels)


def test_grey_pictures_and_channels_that_come_first(folder, tmp_path):
    pixels = picture(tmp_path / "a.png", 5, 4, "L")
    build(folder, interface(image((1, 4, 5), channels_first=True)))
    space = loaded(folder)
    (found,) = space["read"](tmp_path / "a.png")
    np.testing.assert_array_equal(found[..., 0], pixels)
    assert space["prepared"](Passing(), "a.png", [found])[0].shape == (1, 1, 4, 5)


@pytest.mark.parametrize(
    ("stored", "fields"),
    [((4, 5), {"shape": (4, 5, 1)}), ((20,), {"shape": (4, 5, 1)}), ((1, 4, 5), {"stored_channels_first": True})],
)
def test_a_picture_becomes_what_is_stored(folder, tmp_path, stored, fields):
    pixels = picture(tmp_path / "a.png", 5, 4, "L")
    given = {"stored": "uint8", "stored_shape": stored, "preprocessing": Preprocessing(**fields)}
    build(folder, interface(Input(name="image", shape=(4, 5, 1), **given)))
    space = loaded(folder)
    (found,) = space["read"](tmp_path / "a.png")
    np.testing.assert_array_equal(found, pixels.reshape(stored))
    np.testing.assert_array_equal(space["prepared"](Passing(), "a.png", [found])[0], pixels[None, ..., None])


@pytest.mark.parametrize(
    ("decoding", "left", "top", "right", "bottom", "pads"),
    [
        ({"fit": "crop"}, 2, 0, 6, 4, 0),
        ({"fit": "pad"}, 0, 0, 8, 4, 1),
        ({"fit": "stretch"}, 0, 0, 8, 4, 0),
        ({"fit": "crop", "resize": 8}, 3, 1, 5, 3, 0),
    ],
)
def test_other_pictures_are_made_to_fit(folder, tmp_path, decoding, left, top, right, bottom, pads):
    """Of a picture of 8 by 4: which part of it is seen, and in how many of four rows above and below is nothing."""
    about = Decoding(height=4, width=4, interpolation="nearest", **decoding)
    build(folder, interface(image(decoding=about)))
    pixels = picture(tmp_path / "a.png", 8, 4)
    (found,) = loaded(folder)["read"](tmp_path / "a.png")
    assert found.shape == (4, 4, 3)
    assert found.dtype == np.uint8
    part = Image.fromarray(pixels).crop((left, top, right, bottom))
    inner = np.asarray(part.resize((4, 4 - 2 * pads), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(found[pads : 4 - pads], inner)
    assert (found[:pads] == 0).all()
    assert (found[4 - pads :] == 0).all() or not pads


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    fit=st.sampled_from(["stretch", "crop", "pad"]),
    resize=st.none() | st.integers(1, 20),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    mode=st.sampled_from(["RGB", "L", "P", "RGBA", "1"]),
)
def test_a_picture_is_decoded_as_it_was_for_the_measurements(tmp_path_factory, size, mode, **fields):
    about, folder = Decoding(**fields), tmp_path_factory.mktemp("build")
    pixels = np.random.default_rng(5).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(folder / "a.png")
    shape = (about.height, about.width, about.channels)
    build(folder, interface(image(shape, decoding=about)))
    (found,) = loaded(folder)["read"](folder / "a.png")
    np.testing.assert_array_equal(found, images.decode(folder / "a.png", about, "a.png"))


def test_it_predicts_a_sample_and_writes_what_came_out_of_a_folder(folder, tmp_path):
    build(folder, interface(image()))
    samples = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    (tmp_path / "samples").mkdir()
    for i, sample in enumerate(samples):
        np.save(tmp_path / "samples" / f"{i}.npy", sample)
    np.save(tmp_path / "batch.npy", samples)
    with np.load(folder / "model.npz") as arrays:
        wanted = samples.reshape(3, -1).astype(np.float32) @ arrays["weight0"]

    done = run_py(folder, tmp_path / "samples" / "1.npy")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0].split()
    assert first[1] == CLASSES[wanted[1].argmax()]
    assert float(first[0]) == pytest.approx(wanted[1].max(), abs=1e-3)

    found = results(folder, tmp_path / "samples", tmp_path / "results.json")
    assert [each["name"] for each in found["samples"]] == ["0.npy", "1.npy", "2.npy"]
    np.testing.assert_allclose([each["outputs"][0] for each in found["samples"]], wanted, rtol=1e-5)
    assert found["schema_version"] == 1
    assert len(found["latency"]["nanoseconds"]) == 100
    assert min(found["latency"]["nanoseconds"]) > 0
    assert found["settings"] == {"a": 'quoted "words"'}
    assert found["versions"] == {"numpy": np.__version__}
    assert found["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))

    whole = results(folder, tmp_path / "batch.npy", tmp_path / "results.json")
    assert [each["name"] for each in whole["samples"]] == ["batch.npy[0]", "batch.npy[1]", "batch.npy[2]"]
    assert [each["digest"] for each in whole["samples"]] == [each["digest"] for each in found["samples"]]


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((4, 5, 3)), "bad.npy: image has shape (4, 5, 3), and this build takes (4, 4, 3)"),
        (np.zeros((2, 4)), "bad.npy: image has shape (2, 4), and this build takes (4, 4, 3)"),
        (np.zeros((2, 5, 4, 3)), "bad.npy[0]: image has shape (5, 4, 3), and this build takes (4, 4, 3)"),
        (np.array([{}]), "Array can't be memory-mapped"),
    ],
)
def test_a_sample_that_does_not_fit_is_told_in_one_line(folder, tmp_path, array, told):
    build(folder, interface(image()))
    np.save(tmp_path / "bad.npy", array)
    done = run_py(folder, tmp_path / "bad.npy")
    assert done.returncode == 1
    assert done.stderr.startswith("run.py: ")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_other_mistakes_are_told_in_one_line(folder, tmp_path):
    build(folder, interface(image((7,))))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    for path, told in (
        (tmp_path / "none.npy", "No such file"),
        (tmp_path / "notes.txt", "notes.txt is no sample: a sample is a .npy file"),
        (tmp_path / "empty", "there are no samples in"),
    ):
        done = run_py(folder, path)
        assert done.returncode == 1
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_several_inputs_come_in_one_file(folder, tmp_path):
    about = interface(image((4,)), Input(name="mask", shape=(None,), preprocessing=Preprocessing(dtype="int64")))
    build(folder, about)
    space = loaded(folder)
    np.savez(tmp_path / "one.npz", mask=np.ones(3, np.int32), image=np.zeros(4, np.float32))
    ((name, sample),) = space["samples"](tmp_path / "one.npz")
    ready = space["prepared"](Passing(), name, sample)
    assert [(each.shape, each.dtype) for each in ready] == [((1, 4), np.float32), ((1, 3), np.int64)]
    np.savez(tmp_path / "two.npz", mask=np.ones((2, 3)), image=np.zeros((2, 4)))
    assert [name for name, _ in space["samples"](tmp_path / "two.npz")] == ["two.npz[0]", "two.npz[1]"]
    np.savez(tmp_path / "bad.npz", image=np.zeros(4))
    done = run_py(folder, tmp_path / "bad.npz")
    assert "mask" in done.stderr
    assert len(done.stderr.splitlines()) == 1
