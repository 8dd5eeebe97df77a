"""Outputs of PyTorch modules as NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitpick.preprocessing import Arrays


def arrays(native: Any) -> Arrays:
    """Return the outputs of a module, one tensor or a tuple or list of tensors, as float32 arrays."""
    tensors = native if isinstance(native, (tuple, list)) else (native,)
    return tuple(np.asarray(each.numpy(), dtype=np.float32) for each in tensors)
