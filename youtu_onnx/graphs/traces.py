"""Where traced parts are kept, so that a program that exports a model at several precisions traces it once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import onnx_ir as ir

    Parts = Mapping[str, ir.Model]


class Traces(Protocol):
    """Keeps what is traced."""

    def parts(self, key: Hashable, trace: Callable[[], Parts]) -> Parts:
        """What ``trace`` makes, or what it made before for an equal key.

        Args:
            key: everything that the parts depend on, apart from the code that is traced; equal keys have equal ``repr``.

        Returns:
            Graphs that nobody may change.
        """


class InMemory:
    """Implements :class:`Traces` for this process.

    Args:
        most: how many sets of parts; the one that was asked for longest ago makes room.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, Parts] = OrderedDict()

    def parts(self, key: Hashable, trace: Callable[[], Parts]) -> Parts:
        if key not in self._kept:
            self._kept[key] = trace()
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
