"""What is asked more because it isn't known yet."""

from __future__ import annotations

from collections.abc import Mapping

from . import tasks

FAMILIES = tuple(tasks.SHARES)
REMEMBERED = 0.98  # how much of what was known of a family's practice stays at each of its replies
MEASURED = 0.5  # and at each measurement of a dozen
LEAST = 0.2  # of its share that a family keeps when all its replies are exact


class Practice:
    """How often a family's replies are exact, from 0 to 1; half of them, where nothing is known."""

    def __init__(self) -> None:
        self.exact = dict.fromkeys(FAMILIES, 0.5)

    def note(self, families: tuple[str, ...], exact: list[bool]) -> None:
        """Replies of a training step, token by token, with the true path before each."""
        for family, one in zip(families, exact, strict=True):
            self.exact[family] = REMEMBERED * self.exact[family] + (1 - REMEMBERED) * one

    def measured(self, shares: Mapping[str, float]) -> None:
        """What share of each family's answers was right when it was asked."""
        for family in self.exact.keys() & shares.keys():
            self.exact[family] += (1 - MEASURED) * (shares[family] - self.exact[family])

    @property
    def shares(self) -> dict[str, float]:
        return {family: share * (LEAST + 1 - self.exact[family]) for family, share in tasks.SHARES.items()}
