from __future__ import annotations

import re

import pytest

from bitpick.engines.onnxruntime.settings import KEEP_FLOAT_WEIGHTS, SETTINGS

# Words in the names of the runtime's options that name a file, load a library, or write.
OUTSIDE = re.compile("path|file|folder|librar|profil|save|dump|stats|context|external|load|custom_op|record")


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_no_setting_names_a_file_or_loads_a_library(name):
    assert not OUTSIDE.search(name)


def test_a_build_may_have_what_it_ships_with():
    assert KEEP_FLOAT_WEIGHTS.keys() <= SETTINGS
