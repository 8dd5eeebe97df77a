"""An engine without a framework, for the tests of whoever builds on bitpick."""

from bitpick.engines.fake.engine import FakeEngine

__all__ = ["FakeEngine"]
