"""What long work reports while it runs; the CLI renders it, libraries ignore it.

Stages follow one another: ``begin`` ends the one before. Units are bytes, tokens, or whatever ``unit`` says.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Listener for named stages."""

    def begin(self, stage: str, total: int | None = None, unit: str = "B") -> None:
        """A stage starts; ``total`` is None where its length isn't known."""

    def advance(self, amount: int) -> None:
        """So many more units of the current stage are done."""

    def note(self, text: str) -> None:
        """A line that a user should see, such as what the work will need."""

    def finish(self) -> None:
        """The last stage is over."""


class Silent:
    """Reports nothing."""

    def begin(self, stage: str, total: int | None = None, unit: str = "B") -> None: ...

    def advance(self, amount: int) -> None: ...

    def note(self, text: str) -> None: ...

    def finish(self) -> None: ...
