"""The long tests of the zoo run where they are asked for: `make zoo`."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `zoo` where no -m names it."""
    if "zoo" in (config.option.markexpr or ""):
        return
    long = [item for item in items if item.get_closest_marker("zoo")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
