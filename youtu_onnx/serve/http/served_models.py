"""What requests may call for: the model, and the model with one of its adapters, ``MODEL:ADAPTER``."""

from __future__ import annotations

from dataclasses import dataclass

from youtu_onnx.runtimes.adapters import ActiveAdapter, Adapters, UnknownAdapter
from youtu_onnx.serve.http.problems import Problem


@dataclass(frozen=True)
class ServedModels:
    """Attributes:
    base: the model's own id.
    adapters: None where it takes none.
    """

    base: str
    adapters: Adapters | None

    @property
    def names(self) -> list[str]:
        """The model's own id first."""
        return [self.base, *(f"{self.base}:{one}" for one in (self.adapters.names if self.adapters is not None else ()))]

    def check(self, name: str | None) -> None:
        """
        Raises:
            Problem: 404, there is no such model.
        """
        if name is not None and name not in self.names:
            raise self._unknown(name)

    def active(self, name: str | None) -> ActiveAdapter | None:
        """The adapter that a model's id names; None of the model itself. May read its file: not on the event loop.

        Raises:
            Problem: 404, there is no such model, or not any more.
            AdapterError: its file in the bundle doesn't fit.
        """
        self.check(name)
        if name is None or name == self.base or self.adapters is None:
            return None
        try:
            return self.adapters.active(name.removeprefix(f"{self.base}:"))
        except UnknownAdapter as error:
            raise self._unknown(name) from error

    def _unknown(self, name: str) -> Problem:
        there = ", ".join(map(repr, self.names))
        return Problem(404, f"no model {name!r} here; this server has {there}", param="model", code="model_not_found")
