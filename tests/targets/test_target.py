from __future__ import annotations

import shutil

import pytest

from bitpick.errors import RequestError
from bitpick.targets.host import Host
from bitpick.targets.target import AVX2, Target, check_name, target


def host(machine: str) -> Host:
    return Host("a CPU", machine, (), 2, "Linux", "3.12")


def test_a_target_by_configuration_has_what_its_file_says(tmp_path):
    path = tmp_path / "phone.yaml"
    path.write_text("name: phone\nprefix: [ssh, phone]\ninterpreter: /opt/python\n")
    assert target(str(path)) == Target("phone", ("ssh", "phone"), "/opt/python", emulated=False, saturates=False)


def test_a_target_that_bitpick_knows_is_named_by_its_word():
    assert target("x86-avx2") is AVX2


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("arm", "there is no target 'arm'"),
        ("none.yaml", "cannot be read"),
        ("odd.yaml", "holds no target: prefix Field required"),
        ("host.yaml", "names its target 'host'"),
        ("tab.yaml", "tab.yaml is not YAML"),
        ("typo.yaml", "has the unknown field 'emulatd'"),
        ("long.yaml", "names its target 'xxx"),
    ],
)
def test_an_unknown_target_is_refused(tmp_path, monkeypatch, word, says):
    (tmp_path / "odd.yaml").write_text("name: odd\n")
    (tmp_path / "tab.yaml").write_text("name: [")
    (tmp_path / "host.yaml").write_text("name: host\nprefix: []\n")
    (tmp_path / "typo.yaml").write_text("name: t\nprefix: [env]\nemulatd: true\n")
    (tmp_path / "long.yaml").write_text(f"name: {'x' * 65}\nprefix: [env]\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=says):
        target(word)


@pytest.mark.parametrize(
    ("machine", "emulator", "says"),
    [
        ("x86_64", "/usr/bin/qemu-x86_64", None),
        ("AMD64", "/usr/bin/qemu-x86_64", None),  # as Windows calls it
        ("x86_64", None, "there is no qemu-x86_64 on the PATH: apt install qemu-user"),
        ("aarch64", "/usr/bin/qemu-x86_64", "it takes a x86_64 machine, and this one is aarch64"),
    ],
)
def test_what_the_emulated_cpu_lacks_here(monkeypatch, machine, emulator, says):
    monkeypatch.setattr(shutil, "which", lambda name: emulator)
    assert AVX2.missing(host(machine)) == says


def test_a_command_of_no_known_package_is_named_alone_and_none_needs_none(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert Target("phone", ("adb", "shell")).missing(host("aarch64")) == "there is no adb on the PATH"
    assert Target("here", ()).missing(host("aarch64")) is None


def test_a_name_that_is_taken_or_cannot_stand_in_an_id_is_refused():
    check_name("my-phone_2.0", "it is")
    for name in ("host", "x86-avx2", "", "my phone", "a@b"):
        with pytest.raises(RequestError, match="a new name of up to 64 letters"):
            check_name(name, "it is")
