"""``youtu_onnx.json``: what a bundle is, where it came from, and the SHA-256 of everything in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from youtu_onnx.core.bundle import names
from youtu_onnx.core.bundle.graph_facts import GraphFacts, facts_of_format_1
from youtu_onnx.core.bundle.model_facts import FAMILY_OF_FORMAT_1, ModelFacts
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.core.recipe import Recipe

FORMAT_VERSION = 2
"""Of the manifests that are written. Format 1 had no ``family`` and no ``graph``, and no capabilities of the cache."""
READ_VERSIONS = (1, 2)
MOST_SLOTS = 64
"""More than any graph has: a damaged number must not become as many names of tensors."""


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256 (hex) of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class MergedAdapter:
    """A LoRA adapter that is merged into a bundle's weights: its folder's name, and the SHA-256 (hex) of its weights' file."""

    name: str
    sha256: str


@dataclass(frozen=True)
class BundledAdapter:
    """A LoRA adapter that lies beside a bundle's weights: its name, its file in the bundle, and the SHA-256 (hex) of what it was
    made of."""

    name: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """The checkpoint that a bundle was made of. ``model`` is a hub id, a built-in name, or a folder's own name; ``adapter``: None
    where none is merged."""

    model: str
    revision: str | None
    files: Mapping[str, FileEntry]
    adapter: MergedAdapter | None = None


@dataclass(frozen=True)
class Manifest:
    """Everything that a bundle says of itself.

    ``files`` covers every file but the manifest. ``verification`` is the parity report of the export, None where it
    was switched off. ``model`` and ``graph``: what readers go by, whatever table of targets and families they have themselves.
    ``tensors`` says how many matrices are stored how (``{"int4 block 32": 128, "float32": 65}``). ``slots``:
    of the batch graph, see :mod:`youtu_onnx.core.batch_graph`; None where there is none. ``adapters``: those beside the weights;
    None where the graph has no inputs for any.
    """

    model: ModelFacts
    recipe: Recipe
    cache: CacheLayout
    graph: GraphFacts
    target: str
    source: Source
    tools: Mapping[str, str]
    created: str
    files: Mapping[str, FileEntry]
    tensors: Mapping[str, int] = field(default_factory=dict)
    verification: Mapping[str, Any] | None = None
    slots: int | None = None
    adapters: tuple[BundledAdapter, ...] | None = None
    format_version: int = FORMAT_VERSION

    @property
    def context_length(self) -> int:
        """The most tokens that a sequence may have: what a static cache has room for, or as many as the model has positions."""
        return self.cache.length or self.model.max_position_embeddings

    def to_json(self) -> str:
        fields = {
            "format_version": self.format_version,
            "created": self.created,
            "source": asdict(self.source),
            "family": self.model.family,
            "architecture": dict(self.model.record),
            "recipe": self.recipe.to_dict(),
            "tensors": dict(self.tensors),
            "cache": self.cache.to_dict(),
            "graph": self.graph.to_dict(),
            "target": self.target,
            "slots": self.slots,
            "adapters": None if self.adapters is None else [asdict(one) for one in self.adapters],
            "tools": dict(self.tools),
            "verification": self.verification,
            "files": {name: asdict(entry) for name, entry in self.files.items()},
        }
        return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read and check a manifest written by anybody.

        Raises:
            BundleError: no JSON, a newer format, missing fields, or file names that would leave the folder.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            version = fields["format_version"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BundleError(
                f"{path} is not a bundle's manifest ({type(error).__name__}: {error})", hint="export the bundle again"
            ) from error
        if version not in READ_VERSIONS:
            raise BundleError(
                f"{path} has format version {version}; this youtu-onnx reads {' and '.join(map(str, READ_VERSIONS))}",
                hint="upgrade youtu-onnx, or export the bundle again",
            )
        try:
            files = {name: FileEntry(int(e["size"]), str(e["sha256"])) for name, e in fields["files"].items()}
            source, recipe = fields["source"], Recipe.from_dict(fields["recipe"])
            cache, target = CacheLayout.from_dict(fields["cache"]), str(fields["target"])
            family = FAMILY_OF_FORMAT_1 if version == 1 else str(fields["family"])
            manifest = cls(
                model=ModelFacts.of(family, fields["architecture"]),
                recipe=recipe,
                cache=cache,
                graph=facts_of_format_1(target, recipe.precision, cache.form)
                if version == 1
                else GraphFacts.from_dict(fields["graph"]),
                target=target,
                source=Source(
                    source["model"],
                    source["revision"],
                    {name: FileEntry(e["size"], e["sha256"]) for name, e in source["files"].items()},
                    _adapter(source.get("adapter")),
                ),
                tools=fields["tools"],
                created=fields["created"],
                files=files,
                tensors=fields["tensors"],
                verification=fields["verification"],
                slots=_slots(fields.get("slots")),
                adapters=_bundled(fields.get("adapters")),
            )
        except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
            raise BundleError(
                f"{path} lacks or misstates a field ({type(error).__name__}: {error})", hint="export the bundle again"
            ) from error
        for name in files:
            if not is_plain_name(name):
                raise BundleError(
                    f"{path} lists a file outside the bundle: {name!r}",
                    hint="do not use this bundle; it was not written by youtu-onnx",
                )
        more = [names.BATCH] if manifest.slots else []
        if manifest.adapters is not None:
            more += [names.ADAPTER_INPUTS, *(one.file for one in manifest.adapters)]
        for required in (names.MODEL, names.MODEL_DATA, names.CONFIG, names.TOKENIZER, *more):
            if required not in files:
                raise BundleError(f"{path} does not list {required}", hint="export the bundle again")
        return manifest


def _slots(number: Any) -> int | None:
    if number is not None and (type(number) is not int or not 1 <= number <= MOST_SLOTS):
        raise ValueError(f"{number!r} slots")
    return number


def _adapter(fields: Any) -> MergedAdapter | None:
    return None if fields is None else MergedAdapter(str(fields["name"]), str(fields["sha256"]))


def _bundled(listed: Any) -> tuple[BundledAdapter, ...] | None:
    if listed is None:
        return None
    return tuple(BundledAdapter(str(one["name"]), str(one["file"]), str(one["sha256"])) for one in listed)


def is_plain_name(name: str) -> bool:
    """Whether a name stays inside its folder on every system: relative, no ``..``, no drive, no backslash."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    return (
        bool(name)
        and not posix.is_absolute()
        and not windows.drive
        and not windows.root
        and "\\" not in name
        and "\0" not in name
        and ".." not in posix.parts
    )
