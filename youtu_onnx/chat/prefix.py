"""What two sequences of tokens begin with in common: so much of a cache is good for the other one."""

from __future__ import annotations

from collections.abc import Sequence


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that two sequences begin with in common; bisection over slices, which compare fast."""
    one, other = list(one), list(other)  # a tuple's slice equals no list's
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:  # the first low tokens are equal, the first high ones are not
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
