from __future__ import annotations

import numpy as np
import pytest

from bitpick.conversion.route import route
from bitpick.models.model import Format
from tests.conversion import format_steps as steps
from tests.conversion.formats import run_litert

pytestmark = pytest.mark.frameworks


def test_litert_from_what_the_importer_made_computes_what_the_model_does(pool, files, tmp_path):
    path = files / "net.keras"
    for number, hop in enumerate((*route(Format.KERAS, Format.PYTORCH), *route(Format.PYTORCH, Format.LITERT))):
        out = tmp_path / f"{number}{hop.target.suffix}"
        pool.run(hop.environment, hop.convert, {"source": path, "out": out})
        path = out
    assert hop.convert == "bitpick.conversion.litert_from_pytorch:convert"
    found = run_litert(path, steps.samples()[:1])
    np.testing.assert_allclose(found, np.load(files / "expected.npy")[:1], atol=1e-5)
