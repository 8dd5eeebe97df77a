"""What PyTorch modules give, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitpick.preprocessing import Arrays


def arrays(native: Any) -> Arrays:
    """The outputs of a module, one tensor or several in a tuple or a list, as float32 arrays."""
    found = native if isinstance(native, (tuple, list)) else (native,)
    return tuple(np.asarray(each.numpy(), dtype=np.float32) for each in found)
