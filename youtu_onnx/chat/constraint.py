"""What a reply has to obey while it is written."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Constraint(Protocol):
    """A grammar's state while one reply is written. Used by one thread.

    Attributes:
        failure: why nothing can go on, which ends the reply; None while it holds.
    """

    failure: str | None

    def allowed(self) -> np.ndarray:
        """Which tokens may come next, bool ``[V]``; at least one."""

    def accept(self, id_: int) -> None:
        """The reply went on with this token, one of the allowed."""
