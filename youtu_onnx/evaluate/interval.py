"""How sure a share is that was counted."""

from __future__ import annotations

import math

Z = 1.959964
"""Of the normal distribution: 95 % of it are within so many deviations."""


def wilson(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, from 0 to 1; all of that where nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share, spread = right / total, Z * Z / total
    middle = (share + spread / 2) / (1 + spread)
    reach = Z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, middle - reach), min(1.0, middle + reach)
