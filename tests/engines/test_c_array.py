"""A model as a C array is the model, once it is compiled."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

from bitpick.engines import c_array
from tests.conftest import skip_or_fail

PROGRAM = """
#include <cstdint>
#include <cstdio>
#include "model_data.h"
int main() {
  if (reinterpret_cast<std::uintptr_t>(g_model_data) % 16 != 0) return 2;
  return std::fwrite(g_model_data, 1, g_model_data_size, stdout) == g_model_data_size ? 0 : 1;
}
"""


@pytest.fixture
def compiler() -> str:
    found = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if found is None:
        skip_or_fail("compiler", "there is no C++ compiler on the PATH")
    return found


@pytest.mark.parametrize("size", [1, 16, 10_007])
def test_it_compiles_to_the_bytes(compiler, tmp_path, size):
    content = np.random.default_rng(size).bytes(size)
    for name, text in c_array.sources(content).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "main.cc").write_text(PROGRAM)
    command = [compiler, "-std=c++11", "-Wall", "-Wextra", "-Werror", "main.cc", "model_data.cc", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    done = subprocess.run([str(tmp_path / "main")], capture_output=True, timeout=60, check=True)
    assert done.stdout == content


def test_lines_are_short_and_the_size_is_told():
    texts = c_array.sources(bytes(100))
    assert "g_model_data_size = 100;" in texts["model_data.h"]
    assert max(map(len, texts["model_data.cc"].splitlines())) < 120
    assert len(re.findall(r"0x00,", texts["model_data.cc"])) == 100
