"""Numbers at which formulas are cut off, the same wherever they are written."""

from __future__ import annotations

import math

IMPOSSIBLE = -1e30
"""Log-probabilities below it come from masks: -inf, or logits by which a model masks itself, such as -3.4e38. A score
of attention that is as low has a weight of exactly 0, and no gradient is NaN."""

INPUT_LIMIT = -math.log(1e-6)
"""Inputs of Beta and Dirichlet distributions are limited to plus and minus this."""

MARGIN = 0.5e-6
"""Samples keep this share of an interval away from its bounds, where densities are 0 or infinite."""
