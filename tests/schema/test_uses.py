from __future__ import annotations

from bitpick.engines.registry import engines
from bitpick.schema.uses import USES


def test_every_use_names_engines_that_exist():
    for use in USES.values():
        assert use.engines
        assert set(use.engines) <= set(engines())
