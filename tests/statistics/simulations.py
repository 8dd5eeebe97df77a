"""How many data sets tests simulate, and how many false claims they allow."""

from __future__ import annotations

import math

ALPHA, SIMULATIONS = 0.05, 10_000
ALLOWED = ALPHA + 2.6 * math.sqrt(ALPHA * (1 - ALPHA) / SIMULATIONS)
"""The largest share of false claims at a true rate of alpha: chance exceeds it in 0.5% of all test runs."""
