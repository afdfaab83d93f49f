"""Which tokens layers keep in sight, and what that saves.

Shapes: L layers, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEFT, WITHIN, KEPT = 0, 1, 2
"""A token as a layer has it when the last one is written: out of sight, in sight of the next tokens only, in sight of all."""


@dataclass(frozen=True, eq=False)
class Kept:
    """
    Attributes:
        form: of the cache: ``routed``, which drops the rows of tokens out of sight, or ``masked``, which only hides them.
        window: tokens that see a token whose gate is shut, that token itself included.
        gates: ``[L, T]`` bool, true where a gate was open.
        rows: in the cache, by layer, when the last token was written.
    """

    form: str
    window: int
    gates: NDArray[np.bool_]
    rows: tuple[int, ...]

    @property
    def layers(self) -> int:
        return int(self.gates.shape[0])

    @property
    def tokens(self) -> int:
        return int(self.gates.shape[1])

    @property
    def states(self) -> NDArray[np.int8]:
        """``[L, T]``: :data:`LEFT`, :data:`WITHIN` or :data:`KEPT`."""
        within = np.arange(self.tokens) > self.tokens - self.window
        return np.where(self.gates, KEPT, np.where(within, WITHIN, LEFT)).astype(np.int8)

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the tokens, those in sight of the next one, by layer."""
        return tuple(float(share) for share in (self.states > LEFT).mean(1))

    @property
    def all_rows(self) -> int:
        """What the layers together would have with a row for each token."""
        return self.layers * self.tokens

    @property
    def pairs(self) -> tuple[int, ...]:
        """Pairs of a token and one that it sees, by layer."""
        seen = np.minimum(np.arange(self.tokens) + 1, self.window).sum()  # within the window, itself included
        later = np.maximum(self.tokens - self.window - np.arange(self.tokens), 0)  # tokens beyond a token's window
        return tuple(int(seen + later[gates].sum()) for gates in self.gates)

    @property
    def all_pairs(self) -> int:
        """What the layers together would have if each token saw all before it."""
        return self.layers * self.tokens * (self.tokens + 1) // 2

    def to_dict(self) -> dict[str, Any]:
        """``open``: for each layer a text of one digit a token, 1 where its gate was open."""
        return {
            "form": self.form,
            "window": self.window,
            "open": ["".join("01"[int(gate)] for gate in layer) for layer in self.gates],
            "share_by_layer": [round(share, 4) for share in self.shares],
            "rows_by_layer": list(self.rows),
            "rows": sum(self.rows),
            "dense_rows": self.all_rows,
            "pairs_by_layer": list(self.pairs),
            "pairs": sum(self.pairs),
            "dense_pairs": self.all_pairs,
        }
