from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from bitpick.artifacts import modes


@pytest.fixture(params=[0o077, 0o022, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_temporary_file_gets_what_the_umask_leaves(tmp_path, umask):
    for temporary, usual in (
        (Path(tempfile.mkdtemp(dir=tmp_path)), tmp_path / "folder"),
        (Path(tempfile.mkstemp(dir=tmp_path)[1]), tmp_path / "file"),
    ):
        usual.mkdir() if temporary.is_dir() else usual.touch()
        assert temporary.stat().st_mode & 0o077 == 0
        modes.share(temporary)
        assert temporary.stat().st_mode == usual.stat().st_mode
    assert os.umask(umask) == umask
