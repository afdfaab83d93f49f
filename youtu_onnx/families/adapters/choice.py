"""Which adapters a user names, and what is to be done with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.hub_cache import name_and_commit

MERGE, HOT = "merge", "hot"
MODES = (MERGE, HOT)
BASE = "base"
"""What is asked for by those who want no adapter where one is the default."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class NamedAdapter:
    """An adapter's folder, and what it is called: by requests, and in a bundle's file names."""

    name: str
    path: Path

    def __post_init__(self) -> None:
        check_name(self.name)

    @classmethod
    def parse(cls, given: str) -> NamedAdapter:
        """``NAME=DIR``, or ``DIR``, whose own name is the adapter's.

        Raises:
            UsageError: an empty text, or a name that can't be one.
        """
        name, sign, folder = given.partition("=")
        if not sign or Path(given).expanduser().is_dir():
            name, folder = "", given
        if not folder.strip():
            raise UsageError(f"--adapter {given!r} names no folder", hint="pass DIR or NAME=DIR")
        path = Path(folder).expanduser()
        return cls(name or name_and_commit(path)[0].rpartition("/")[2], path)


@dataclass(frozen=True)
class AdapterChoice:
    """Adapters of an export. ``mode``: :data:`MERGE` adds one to the weights, :data:`HOT` keeps them beside the weights, to be
    chosen when the model runs."""

    given: tuple[NamedAdapter, ...] = ()
    mode: str = MERGE

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"unknown adapter mode {self.mode!r}", hint=f"choose one of: {', '.join(MODES)}")
        names = [one.name for one in self.given]
        if len(set(names)) < len(names):
            raise UsageError(f"two adapters have one name among {', '.join(names)}", hint="give each its own: --adapter NAME=DIR")
        if self.mode == MERGE and len(names) > 1:
            raise UsageError(
                f"one adapter can be merged into the weights, and these are {len(names)}: {', '.join(names)}",
                hint="keep them beside the weights with --adapter-mode hot, or export once for each",
            )

    @classmethod
    def parse(cls, given: Sequence[str], mode: str = MERGE) -> AdapterChoice:
        """
        Raises:
            UsageError: an unknown mode, names that can't be, or more than one adapter to merge.
        """
        return cls(tuple(NamedAdapter.parse(one) for one in given), mode)

    @property
    def hot(self) -> bool:
        return self.mode == HOT

    @property
    def beside(self) -> tuple[NamedAdapter, ...]:
        """Those that are kept beside the weights."""
        return self.given if self.hot else ()

    @property
    def merged(self) -> NamedAdapter | None:
        return self.given[0] if self.given and self.mode == MERGE else None


def check_name(name: str) -> None:
    """
    Raises:
        UsageError: a name that can't stand in a file's name and behind a model's.
    """
    if name == BASE:
        raise UsageError(f"{BASE!r} names the model without an adapter", hint="choose another: --adapter NAME=DIR")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be an adapter's name: at most 64 letters, digits, dots, dashes, underscores, no sign first",
            hint="choose another: --adapter NAME=DIR",
        )


def merged_adapter(model: str | None, adapter: str | None) -> NamedAdapter | None:
    """What ``--adapter`` names beside ``--model``.

    Raises:
        UsageError: an adapter without a model, or a name that can't be one.
    """
    if adapter is None:
        return None
    if model is None:
        raise UsageError("--adapter is merged into the model to compare with, and none is named", hint="add --model")
    return NamedAdapter.parse(adapter)
