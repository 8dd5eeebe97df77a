"""An engine without a framework, for tests of code that builds on bitpick."""

from bitpick.engines.fake.engine import FakeEngine

__all__ = ["FakeEngine"]
