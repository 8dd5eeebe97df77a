from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bitpick.datasets import image_folder, images
from bitpick.datasets.load import load
from bitpick.datasets.options import checked
from bitpick.datasets.progress import silent
from bitpick.errors import DataError
from tests.datasets.conftest import takes

pytestmark = pytest.mark.usefixtures("own_cache")
MODEL = takes(6, 8, 3, classes=2)


def test_folders_are_classes_and_one_set_is_divided(photos):
    found = load(photos({"dog": 20, "cat": 30}), MODEL)
    assert found.classes == ("cat", "dog")
    assert (found.calibration.count, found.evaluation.count) == (10, 40)
    for split in (found.calibration, found.evaluation):
        colours = split.inputs["image"][:, 0, 0, 0]
        np.testing.assert_array_equal(np.where(colours == 10, "dog", "cat"), np.array(found.classes)[split.labels])
    assert "divided" in found.notes[0]
    assert found.notes[1] == (
        "pictures stretched to 6 × 8, rgb, channels-last (size, fit, channels, layout guessed from the model's input "
        "image (batch, 6, 8, 3) float32)"
    )


def test_folders_of_splits_are_splits(photos):
    root = photos({"train/cat": 4, "train/dog": 5, "val/cat": 2, "val/dog": 1, "extra/cow": 1})
    found = load(root, MODEL)
    assert found.classes == ("cat", "dog")
    assert (found.calibration.count, found.evaluation.count) == (9, 3)
    assert list(found.evaluation.labels) == [0, 0, 1]


def test_a_split_that_is_not_used_is_said(photos):
    found = load(photos({"train/a": 2, "train/b": 2, "test/a": 2, "val/a": 2}), MODEL)
    assert found.notes[0] == "not used: val/"


def test_the_order_of_the_model(photos):
    found = load(photos({"a": 4, "b": 4}), MODEL, checked({"classes": "b,a"}))
    assert found.classes == ("b", "a")
    colours = found.evaluation.inputs["image"][:, 0, 0, 0]
    np.testing.assert_array_equal(found.evaluation.labels, np.where(colours == 10, 1, 0))


def test_pictures_alone_have_no_labels_or_those_of_a_file(photos, tmp_path):
    root = photos({".": 10})
    found = load(root, MODEL)
    assert found.evaluation.labels is None
    (tmp_path / "labels.txt").write_text("cat\n" * 5 + "dog\n" * 5)
    found = load(root, MODEL, checked({"labels": str(tmp_path / "labels.txt"), "split": 0.5}))
    greens = found.evaluation.inputs["image"][:, 0, 0, 1]
    np.testing.assert_array_equal(found.evaluation.labels, greens >= 5)
    (tmp_path / "labels.txt").write_text("cat\n")
    with pytest.raises(DataError, match="has 1 labels, but there are 10 pictures"):
        load(root, MODEL, checked({"labels": str(tmp_path / "labels.txt")}))


def test_each_picture_is_decoded_once(photos, monkeypatch):
    decoded = []
    real = images.decode
    monkeypatch.setattr(images, "decode", lambda file, how, name: decoded.append(name) or real(file, how, name))
    root = photos({"a": 15, "b": 15})
    first = load(root, MODEL)
    assert len(decoded) == len(set(decoded)) == 30
    again = load(root, MODEL)
    assert len(decoded) == 30
    assert again.evaluation == first.evaluation
    Image.new("RGB", (8, 6), (1, 2, 3)).save(root / "a" / "000.png")
    changed = load(root, MODEL)
    assert 30 < len(decoded) < 60  # the split that it is in, and not the other one
    assert (
        changed.evaluation.sha256 != first.evaluation.sha256 or changed.calibration.sha256 != first.calibration.sha256
    )
    load(root, takes(3, 3, 3, classes=2))
    assert len(decoded) >= 60


def test_a_damaged_picture_is_named_or_left_out_with_its_label(photos):
    root = photos({"a": 10, "b": 10})
    (root / "b" / "003.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"b/003\.png cannot be decoded"):
        load(root, MODEL)
    found = load(root, MODEL, checked({"skip_damaged": True}))
    assert found.calibration.count + found.evaluation.count == 19
    assert any(note == "1 damaged files were left out: 003.png" for note in found.notes)
    for split in (found.calibration, found.evaluation):
        np.testing.assert_array_equal(split.inputs["image"][:, 0, 0, 0] == 50, split.labels)


def test_pictures_beside_folders_are_no_clear_case(photos):
    root = photos({"a": 2, ".": 1})
    with pytest.raises(DataError, match="has images beside its folders"):
        load(root, MODEL)


def test_a_folder_without_pictures(tmp_path):
    assert image_folder.load(tmp_path, checked({}), None, silent) is None


def test_without_a_model_a_size_is_needed(photos):
    root = photos({"a": 5, "b": 5})
    with pytest.raises(DataError, match="nothing says what size the pictures get, without a model"):
        load(root)
    assert load(root, options={"resize": "4x5"}).evaluation.inputs["image"].shape[1:] == (4, 5, 3)


SUFFIXES = (".jpg", ".JPE", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".TIFF", ".gif", ".ppm", ".pnm", ".tga", ".mpo")


def test_pictures_of_every_suffix_are_read(photos):
    root = photos({"a": 4, "b": 4})
    for number, suffix in enumerate(SUFFIXES):
        image = Image.new("RGB", (8, 6), (number, 0, 0))
        image.save(root / "a" / f"{number}{suffix}", "JPEG" if suffix.lower() in (".jpe", ".jfif", ".mpo") else None)
    found = load(root, MODEL)
    assert found.calibration.count + found.evaluation.count == 8 + len(SUFFIXES)
    assert not any("left out" in note for note in found.notes)


def test_what_is_left_out_is_counted_and_named(photos):
    root = photos({"a": 4, "b": 4})
    (root / "a" / "x.heic").write_bytes(b"")
    (root / "b" / "notes.txt").write_text("")
    (root / "b" / "Thumbs.db").write_text("")
    (root / "c").mkdir()
    (root / "__MACOSX").mkdir()
    told = next(note for note in load(root, MODEL).notes if "left out" in note)
    assert (
        told
        == "3 files or folders are left out, because bitpick finds no readable picture there: a/x.heic, b/notes.txt, c/"
    )


@pytest.mark.parametrize("above", ["PetImages", "test", "archive/train"])
def test_classes_in_a_folder_that_is_alone_are_classes(photos, above):
    root = photos({f"{above}/cat": 10, f"{above}/dog": 10})
    found = load(root, MODEL)
    assert (found.name, found.classes) == ("photos", ("cat", "dog"))
    assert f"the pictures are those in {above.split('/')[-1]}/, the only folder that has pictures" in found.notes


def test_the_name_of_a_folder_is_that_which_it_has(photos, monkeypatch):
    root = photos({"a": 4, "b": 4})
    monkeypatch.chdir(root / "a")
    for path in ("..", "../", "../../photos/"):
        assert load(path, MODEL).name == "photos"


@pytest.mark.parametrize("written", ["{}.png", "{}", "pictures/{}.png"])
def test_labels_of_a_table_belong_to_the_file_that_their_row_names(photos, tmp_path, written):
    root = photos({".": 10})
    rows = [f"{written.format(f'{i:03}')},{'cat' if i < 5 else 'dog'}" for i in (7, 2, 9, 0, 4, 1, 8, 3, 6, 5)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,kind", *rows, "other.png,cow"]) + "\n")
    said = checked({"labels": f"{tmp_path / 'labels.csv'}:kind", "split": 0.5})
    found = load(root, MODEL, said)
    for split in (found.calibration, found.evaluation):
        np.testing.assert_array_equal(split.inputs["image"][:, 0, 0, 1] >= 5, split.labels)
    assert "labels: the column kind of labels.csv, matched by the file names in its column file" in found.notes
    (tmp_path / "labels.csv").write_text("\n".join(["file,kind", *rows[1:]]) + "\n")
    with pytest.raises(DataError, match=r"labels\.csv has no row for 007\.png"):
        load(root, MODEL, said)


def test_a_split_without_classes_is_not_taken_beside_one_with_them(photos):
    root = photos({"train/a": 4, "train/b": 4, "val/a": 2, "val/b": 2, "test": 3})
    found = load(root, MODEL)
    assert (found.classes, found.evaluation.count) == (("a", "b"), 4)
    assert found.notes[0] == "not used: test/"
    root = photos({"train/a": 4, "train/b": 4, "test": 3}, name="two")
    with pytest.raises(DataError, match=r"the pictures in .*test are not in class folders") as error:
        load(root, MODEL)
    assert "give only the split with class folders" in error.value.fix
    (root / "data.yaml").write_text("calibration: test\nevaluation: train\n")
    with pytest.raises(DataError, match=r"the pictures in .*test are not in class folders"):
        load(root / "data.yaml", MODEL)
