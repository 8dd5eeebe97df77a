"""Worker processes that import the modules of steps beside these tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bitpick.executors.pool import WorkerPool


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Workers of every environment, whose jobs may name the functions of this folder."""
    with pytest.MonkeyPatch.context() as patch:
        here = str(Path(__file__).parent)
        patch.setenv("PYTHONPATH", os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]))
        pool = WorkerPool(tmp_path_factory.mktemp("logs"))
        yield pool
        pool.close()
