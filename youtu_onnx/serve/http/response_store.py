"""Responses that the server remembers, in bounded memory, so that a conversation goes on after one by its id."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from youtu_onnx.serve.http.bodies.response_item import Item
from youtu_onnx.serve.http.replies import Json

OVERHEAD = 4
"""Bytes of memory that a character of JSON takes about, as Python's objects."""


@dataclass(frozen=True)
class Remembered:
    """Attributes:
    response: as it was answered.
    given: its own input, as clients list it.
    items: all that it was made of and made: what the next one goes on after.
    made: its own items, by their ids.
    """

    response: Json
    given: Sequence[Json]
    items: tuple[Item, ...]
    made: dict[str, Item]


class ResponseStore:
    """The least recently used are forgotten first. Used on the event loop alone."""

    def __init__(self, limit: int) -> None:
        """``limit``: bytes, about, that all may take."""
        self._limit = limit
        self._kept: OrderedDict[str, tuple[Remembered, int]] = OrderedDict()
        self._owners: dict[str, str] = {}  # by item: the response that made it
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, one: Remembered) -> None:
        """Remember it, unless it alone is too large."""
        said = json.dumps([one.response, one.given, [item.listed() for item in one.items]], ensure_ascii=False)
        size = OVERHEAD * len(said)
        if size > self._limit:
            return
        id_: str = one.response["id"]
        self._kept[id_] = one, size
        self._owners |= dict.fromkeys(one.made, id_)
        self.nbytes += size
        while self.nbytes > self._limit:
            self._forget(next(iter(self._kept)))

    def get(self, id_: str) -> Remembered | None:
        found = self._kept.get(id_)
        if found is None:
            return None
        self._kept.move_to_end(id_)
        return found[0]

    def item(self, id_: str) -> Item | None:
        """One that a remembered response made."""
        owner = self._owners.get(id_)
        found = None if owner is None else self.get(owner)
        return None if found is None else found.made.get(id_)

    def forget(self, id_: str) -> bool:
        """False where there is none of this id."""
        if id_ not in self._kept:
            return False
        self._forget(id_)
        return True

    def _forget(self, id_: str) -> None:
        one, size = self._kept.pop(id_)
        for name in one.made:
            del self._owners[name]
        self.nbytes -= size
