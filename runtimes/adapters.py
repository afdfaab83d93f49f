"""Adapters beside an opened bundle's weights: loaded and unloaded while it runs, one of them at most in a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.decoder import Decoder


class UnknownAdapter(UsageError):
    """Nothing of this name is loaded, or lies in the bundle."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        there = f"there are {', '.join(known)}" if known else "there are none"
        super().__init__(
            f"no adapter {name!r}: {there}", hint="youtu-onnx adapter BUNDLE --add [NAME=]DIR puts one into a bundle"
        )
        self.name = name


@dataclass(eq=False)
class ActiveAdapter:
    """An adapter that is loaded. Compared by identity: what was computed with one is of no use to another, whatever its name.

    Attributes:
        values: what its runtime takes of it.
        retired: it was unloaded, or another one has its name now: what is kept for later replies with it is of no use any more.
    """

    name: str
    values: Mapping[str, Any]
    retired: bool = False


class Adapters(Protocol):
    """The adapters of an opened bundle; for use from any thread. Those that lie in the bundle are read when they are first asked
    for."""

    @property
    def names(self) -> tuple[str, ...]:
        """Sorted."""

    def load(self, name: str, path: str | Path) -> None:
        """Read one: a folder in PEFT's format, or a file in ONNX Runtime's. In the place of one of the same name.

        Raises:
            UsageError: a name that can't be.
            AdapterError: it can't be read, or can't be kept beside this bundle's weights.
        """

    def unload(self, name: str) -> None:
        """Forget one. Its memory is free when the replies that use it have ended.

        Raises:
            UnknownAdapter: there is none.
        """

    def active(self, name: str) -> ActiveAdapter:
        """
        Raises:
            UnknownAdapter: there is none.
            AdapterError: its file in the bundle doesn't fit.
        """


@runtime_checkable
class AdaptedDecoder(Decoder, Protocol):
    """A decoder over a graph that takes adapters."""

    @property
    def adapters(self) -> Adapters | None:
        """None where the bundle takes none."""

    def use(self, adapter: ActiveAdapter | None) -> None:
        """Compute with an adapter from here on, or with none. Drops all tokens if it was another one."""
