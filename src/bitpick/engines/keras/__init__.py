"""Keras and TensorFlow: the float32 baseline, as the model was trained."""

from bitpick.engines.keras.engine import KerasEngine

__all__ = ["KerasEngine"]
