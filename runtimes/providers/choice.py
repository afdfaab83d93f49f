"""Where a bundle is to run, as a user chose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from youtu_onnx.runtimes.providers.options import ProviderOptions


@dataclass(frozen=True)
class ProviderChoice:
    """A provider, and what is asked of it.

    Attributes:
        name: as in ``--provider``; None: the one that the bundle was exported for.
        options: of the provider.
        required: let no node run elsewhere but what :mod:`youtu_onnx.conformance.host` excuses.
    """

    name: str | None = None
    options: ProviderOptions = field(default_factory=ProviderOptions)
    required: bool = False

    @classmethod
    def of(
        cls, name: str | None = None, options: ProviderOptions | Mapping[str, object] | None = None, required: bool = False
    ) -> ProviderChoice:
        """From arguments as callers of this package write them.

        Raises:
            UsageError: an option has a value that it can't have.
        """
        return cls(name, options if isinstance(options, ProviderOptions) else ProviderOptions.of(options), required)

    def __bool__(self) -> bool:
        """Whether anything was chosen."""
        return self.name is not None or bool(self.options) or self.required
