"""Which matrices get more bits where the weights may have so many in all.

Each matrix can be stored in a few ways, each with its bytes and with what it is expected to cost. All begin in the way of fewest
bytes; whichever step to more bytes takes off most cost for each byte comes next, for as long as the budget lasts. With steps from
each matrix's lower convex hull that is the best there is but for what is left over at the end, less than one matrix's step.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from youtu_onnx.core.recipe import Blockwise


@dataclass(frozen=True)
class Way:
    """A way to store a matrix.

    Attributes:
        nbytes: in the data file.
        cost: expected; only differences matter, in any unit that all matrices share.
    """

    storage: Blockwise
    nbytes: int
    cost: float


def choose(ways: Mapping[str, Sequence[Way]], nbytes: int) -> dict[str, Way]:
    """A way for each matrix, ``nbytes`` in all at most.

    Raises:
        ValueError: even the smallest ways take more.
    """
    hulls = {name: _hull(each) for name, each in ways.items()}
    chosen = {name: hull[0] for name, hull in hulls.items()}
    left = nbytes - sum(way.nbytes for way in chosen.values())
    if left < 0:
        raise ValueError(f"{nbytes - left} bytes are the fewest")
    steps = [(-_gain(hull[0], hull[1]), name, 1) for name, hull in hulls.items() if len(hull) > 1]
    heapq.heapify(steps)
    while steps:
        _, name, place = heapq.heappop(steps)
        hull = hulls[name]
        if (more := hull[place].nbytes - chosen[name].nbytes) > left:
            continue  # nor do this matrix's later steps fit; those of smaller matrices may
        left -= more
        chosen[name] = hull[place]
        if place + 1 < len(hull):
            heapq.heappush(steps, (-_gain(hull[place], hull[place + 1]), name, place + 1))
    return chosen


def _gain(one: Way, other: Way) -> float:
    return (one.cost - other.cost) / (other.nbytes - one.nbytes)


def _hull(ways: Sequence[Way]) -> list[Way]:
    """Those that are the best for some price of a byte, in the order of their bytes."""
    hull: list[Way] = []
    for way in sorted(ways, key=lambda one: (one.nbytes, one.cost)):
        if hull and way.cost >= hull[-1].cost:
            continue
        while len(hull) > 1 and _gain(hull[-2], hull[-1]) <= _gain(hull[-1], way):
            hull.pop()
        hull.append(way)
    return hull
