"""What a cache allows: adapters ask its layout here before they drop tokens, or let another sequence begin with them."""

from __future__ import annotations

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.errors import UsageError


def droppable(layout: CacheLayout) -> bool:
    """Whether the last tokens of a sequence can be taken back: each has one row in every tensor, and no later one changed it."""
    return layout.rewindable and layout.uniform


def shareable(layout: CacheLayout) -> bool:
    """Whether another sequence can begin with the first tokens of a cache that holds more."""
    return layout.prefix_shareable and droppable(layout)


def check_kept(layout: CacheLayout, kept: int, length: int) -> None:
    """Make sure that the first ``kept`` of ``length`` tokens can stay where the others go: all and none always can.

    Raises:
        UsageError: this cache can't drop some of its tokens.
    """
    if kept not in (0, length) and not droppable(layout):
        raise UsageError(
            f"a cache of the form {layout.form} can't drop {length - kept} of its {length} tokens: its rows aren't one for each",
            hint="drop all of them, and run those that shall stay again",
        )
