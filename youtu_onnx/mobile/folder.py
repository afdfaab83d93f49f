"""The folder that the Android and iOS samples read: a graph, the tokenizer, and one small record, ``model.json``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import onnxruntime as ort

from youtu_onnx.chat.model import eos_ids
from youtu_onnx.chat.sampling import Sampling
from youtu_onnx.core.bundle import Bundle, FileEntry, Manifest, Staging, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import BundleError, UsageError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.mobile import ort_format
from youtu_onnx.mobile.frame import ChatFrame
from youtu_onnx.text import ChatTemplate, Tokenizer
from youtu_onnx.text.json_file import read_json

Format = Literal["ort", "onnx"]
FORMATS: tuple[Format, ...] = ("ort", "onnx")
RECORD = "model.json"
FORMAT_VERSION = 1
LEAST = "1.24.0"
"""The oldest ONNX Runtime that opens a bundle's ``model.onnx``. ``model.ort`` asks for the version that wrote it or a newer one:
it spells out attributes that older ones don't know."""


@dataclass(frozen=True)
class MobileFolder:
    """A written folder: what ``model.json`` says, and where it is. ``files`` covers every file but the record."""

    path: Path
    graph: str
    manifest: Manifest
    end_token_ids: tuple[int, ...]
    chat: ChatFrame | None
    sampling: Sampling
    files: Mapping[str, FileEntry]

    @property
    def size(self) -> int:
        """Bytes of all files but the record."""
        return sum(entry.size for entry in self.files.values())

    @property
    def weights(self) -> int:
        """Bytes of the file that holds the weights."""
        return self.files[names.MODEL_DATA if self.graph == names.MODEL else self.graph].size

    def to_dict(self) -> dict[str, Any]:
        cache, model = self.manifest.cache, self.manifest.model
        return {
            "format_version": FORMAT_VERSION,
            "model": self.manifest.source.model,
            "graph": self.graph,
            "onnxruntime": LEAST if self.graph == names.MODEL else ort.__version__,
            "vocab_size": model.vocab_size,
            "context_length": model.max_position_embeddings,
            "end_token_ids": list(self.end_token_ids),
            "chat": None if self.chat is None else self.chat.to_dict(),
            "sampling": _sampling(self.sampling),
            "cache": cache.to_dict(),
            "mask_keeps_logits": self.manifest.graph.mask_keeps_logits,
            "files": {name: asdict(entry) for name, entry in self.files.items()},
        }

    def summary(self) -> dict[str, Any]:
        """What ``youtu-onnx mobile --json`` says of it."""
        return {"folder": str(self.path), "graph": self.graph, "bytes": self.size, "chat": self.chat is not None}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"


def write_mobile(
    bundle: Bundle, output: Path, *, form: str = "ort", force: bool = False, progress: Progress | None = None
) -> MobileFolder:
    """Write the folder for a bundle; it is there whole or not at all.

    Args:
        form: ``ort``: ``model.ort``, everything in one file, and the lists of operators for a reduced build; ``onnx``: the
            bundle's own graph and data file.
        force: replace such a folder.

    Raises:
        UsageError: an unknown form, a bundle that isn't for the CPU, or something in the way.
        BundleError: the graph can't be opened.
        ResourceError: too little disk or memory, or onnxruntime can't convert.
    """
    if form not in FORMATS:
        raise UsageError(f"unknown format {form!r}", hint=f"choose from {', '.join(FORMATS)}")
    if bundle.manifest.graph.provider != "cpu":
        raise UsageError(
            f"the bundle at {bundle.path} is for {bundle.manifest.target}; phones run graphs for the CPU",
            hint="export it again with --target mobile",
        )
    progress = progress or Silent()
    tokenizer = Tokenizer.open(bundle.path)
    template = ChatTemplate.open(bundle.path, tokenizer)
    chat = ChatFrame.of(template) if template else None
    defaults = read_json(bundle.file(names.GENERATION_CONFIG))
    sampling = Sampling.from_generation_config(defaults)
    with Staging(output, force=force, record=RECORD, kind="mobile folder") as staging:
        try:
            graph = _write_graph(bundle, staging.folder, form, progress)
            for name in names.CARRIED:
                if name in bundle.manifest.files:
                    shutil.copyfile(bundle.file(name), staging.folder / name)
            progress.begin("hashing", sum(path.stat().st_size for path in staging.folder.iterdir()))
            files = {path.name: describe_file(path, progress.advance) for path in sorted(staging.folder.iterdir())}
            _check_copies(bundle, files)
            made = MobileFolder(
                staging.final, graph, bundle.manifest, eos_ids(defaults, bundle, tokenizer), chat, sampling, files
            )
            staging.publish(made)
        finally:
            progress.finish()
    return made


def _write_graph(bundle: Bundle, folder: Path, form: str, progress: Progress) -> str:
    """The name of the graph's file."""
    if form == "ort":
        ort_format.convert(bundle, folder, progress)
        return ort_format.MODEL
    progress.begin("copying the graph and weights", bundle.manifest.files[names.MODEL_DATA].size)
    for name in (names.MODEL, names.MODEL_DATA):
        shutil.copyfile(bundle.file(name), folder / name)
        progress.advance(bundle.manifest.files[name].size)
    return names.MODEL


def _sampling(sampling: Sampling) -> dict[str, Any]:
    """What the samples know of: greedy is a temperature of 0; ``top_k`` 0 and ``top_p`` 1 leave all tokens in."""
    return {"temperature": 0.0 if sampling.greedy else sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}


def _check_copies(bundle: Bundle, files: Mapping[str, FileEntry]) -> None:
    """What was copied is what the bundle's manifest says; large files aren't hashed when a bundle is opened."""
    for name, entry in bundle.manifest.files.items():
        if name in files and files[name] != entry:
            raise BundleError(
                f"{bundle.file(name)} is not what its manifest says (SHA-256 differs)", hint="copy or export the bundle again"
            )
