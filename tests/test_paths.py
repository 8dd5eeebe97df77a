from __future__ import annotations

import pytest

from bitpick.errors import OutputError
from bitpick.paths import check_links, inside, plain_name, relative_path

OUT = ["/etc/passwd", "../other", "a/../../other", "a//b", "a/./b", "", ".", "..", "a/", "a\0b"]


@pytest.mark.parametrize("path", OUT)
def test_what_leads_out_is_no_relative_path(path):
    with pytest.raises(ValueError, match="is not a path inside its folder"):
        relative_path(path)


@pytest.mark.parametrize("name", ["a/b", "", ".", "..", "a\0b"])
def test_what_is_more_than_one_component_is_no_plain_name(name):
    with pytest.raises(ValueError, match="is not a plain name"):
        plain_name(name)


@pytest.mark.parametrize("name", ["fake:s8s8-per_tensor-minmax@x86-avx2", "…", "a b", "..a", "-"])
def test_other_names_stay_as_they_are(name):
    assert plain_name(name) == relative_path(name) == name
    assert relative_path(f"builds/{name}") == f"builds/{name}"


def test_a_file_inside_is_found_and_one_outside_is_refused(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "own").write_text("own")
    (folder / "to_own").symlink_to("own")
    (folder / "to_secret").symlink_to("../secret")
    (folder / "up").symlink_to("..")
    assert inside(folder, "own").read_text() == inside(folder, "to_own").read_text() == "own"
    for path in ("to_secret", "up/secret", "../secret", str(tmp_path / "secret")):
        with pytest.raises(ValueError, match=r"leads out of|is not a path inside"):
            inside(folder, path)


@pytest.mark.parametrize("target", ["../../secret", "/nowhere", "../..", "../builds/../../secret"])
def test_links_out_of_a_folder_are_refused_wherever_they_are(tmp_path, target):
    folder = tmp_path / "run"
    (folder / "builds").mkdir(parents=True)
    (folder / "builds" / "same").symlink_to("../own")
    (folder / "builds" / "up").symlink_to("..")
    check_links(folder)
    (folder / "builds" / "link").symlink_to(target)
    with pytest.raises(OutputError, match=rf"link is a symbolic link to .*outside {tmp_path}"):
        check_links(folder)


def test_a_run_directory_may_be_a_link_itself(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "same").symlink_to("other")
    (tmp_path / "run").symlink_to("disk")
    check_links(tmp_path / "run")


def test_only_what_is_asked_for_is_looked_at(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "file").touch()
    (tmp_path / "other").symlink_to("/")
    check_links(tmp_path, ["own", "missing"])
    for name in ("own/link", "missing"):
        (tmp_path / name).symlink_to("/nowhere")
        with pytest.raises(OutputError, match="is a symbolic link to /nowhere"):
            check_links(tmp_path, ["own", "missing"])
        (tmp_path / name).unlink()
