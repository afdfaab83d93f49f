"""Where a text went like this before."""

from __future__ import annotations

from collections.abc import Iterable

NGRAMS = (16, 8, 4, 2)
"""Lengths of the runs of tokens that are looked up, longest first. Short runs recur and find the wrong place; a long one
finds the copy that is being made. Single tokens were wrong too often to pay."""


class NgramIndex:
    """A growing text, and where each of its n-grams was last followed by something.

    A token costs one dictionary entry per length in ``lengths``, about 1 KB for the default ones, whatever the text's
    length; a look-up asks each dictionary once.
    """

    def __init__(self, ids: Iterable[int] = (), lengths: Iterable[int] = NGRAMS) -> None:
        self._lengths = sorted(lengths, reverse=True)
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        for one in ids:
            self.push(one)

    def push(self, id_: int) -> None:
        """Append a token. Only now are the n-grams before it known to be followed by something."""
        ids = self._ids
        for length in self._lengths:
            if length <= len(ids):
                self._after[tuple(ids[-length:])] = len(ids)
        ids.append(id_)

    def continuation(self, count: int) -> list[int]:
        """``count`` tokens that would follow if the text went on as it last did; none if its end is new.

        The longest n-gram that ends the text decides. A continuation that reaches the text's end goes on in itself, so a
        period repeats as often as asked.
        """
        ids = self._ids
        start = next(
            (self._after[end] for length in self._lengths if length <= len(ids) and (end := tuple(ids[-length:])) in self._after),
            None,
        )
        if start is None:
            return []
        period = len(ids) - start
        return [ids[start + index % period] for index in range(count)]
