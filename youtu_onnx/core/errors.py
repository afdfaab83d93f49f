"""Everything a user may see go wrong, and the exit code each kind ends with.

A message says what is wrong and where, what was expected, and (``hint``) what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence


class YoutuOnnxError(Exception):
    """Base of the family. Exit code 1: the work could not be done."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class UsageError(YoutuOnnxError):
    """The request itself makes no sense (bad option, empty prompt, output folder in the way). Exit code 2."""

    exit_code = 2


class CheckpointError(YoutuOnnxError):
    """A checkpoint can't be read: missing, truncated, of another family, with impossible numbers."""


class AdapterError(YoutuOnnxError):
    """A LoRA adapter can't be read, is of a kind that isn't built, or doesn't fit the model."""


class BundleError(YoutuOnnxError):
    """A bundle is missing, damaged or of a newer format."""


class ResourceError(YoutuOnnxError):
    """The machine has too little memory or disk for the work."""


class VerificationError(YoutuOnnxError):
    """A bundle does not compute what its checkpoint computes. Exit code 3."""

    exit_code = 3


class ProviderError(YoutuOnnxError):
    """An execution provider or runtime that was asked for isn't there. Exit code 4."""

    exit_code = 4


def listed(subject: str, faults: Sequence[str]) -> str:
    """A message about all faults of one thing: in a sentence where there is one fault, else a line for each."""
    return f"{subject}: {faults[0]}" if len(faults) == 1 else "\n  - ".join([f"{subject}:", *faults])
