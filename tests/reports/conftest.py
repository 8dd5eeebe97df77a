from tests.diagnosis.conftest import diagnose

__all__ = ["diagnose"]
