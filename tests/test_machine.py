"""What no Python package brings, and some tests need: where BITPICK_REQUIRE names it, it must be there and work."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys

from bitpick.executors.pool import Launch, Worker
from tests.conftest import skip_or_fail


def found(what: str, *names: str) -> str:
    """The path of the first of some programs that is installed."""
    for name in names:
        if path := shutil.which(name):
            return path
    skip_or_fail(what, f"none of {', '.join(names)} is on the PATH")
    raise AssertionError


def test_a_browser_renders_a_page(tmp_path):
    browser = found("browser", "chromium", "chromium-browser", "google-chrome")
    (tmp_path / "page.html").write_text("<p id=x></p><script>x.textContent = 6 * 7</script>")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    done = subprocess.run(
        [*command, *quiet, "--dump-dom", (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    assert '<p id="x">42</p>' in done.stdout, done.stderr


def test_a_compiler_builds_a_program(tmp_path):
    compiler = found("compiler", "c++", "g++", "clang++")
    (tmp_path / "a.cpp").write_text('#include <cstdio>\nint main() { std::puts("built"); }\n')
    subprocess.run([compiler, str(tmp_path / "a.cpp"), "-o", str(tmp_path / "a")], check=True, timeout=120)
    assert subprocess.run([str(tmp_path / "a")], capture_output=True, check=True).stdout == b"built\n"


def test_a_worker_runs_under_an_emulator():
    """A CPU without AVX-512, whatever this one has."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        skip_or_fail("emulator", "the emulated CPU is an x86-64 under Linux")
    emulator = found("emulator", "qemu-x86_64")
    worker = Worker("emulated", launch=Launch(prefix=(emulator, "-cpu", "Haswell")))
    try:
        function = "numpy.lib.introspect:opt_func_info"
        told = worker.run(function, {"func_name": "^add$", "signature": "float64"}).value
        assert "AVX512" not in told["add"]["ddd"]["current"]
    finally:
        worker.close()
