"""What a server says of a bundle, beside what it does with its text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.families.known import architecture_of


@dataclass(frozen=True)
class BundleFacts:
    """Attributes:
    family, precision, provider: as the manifest has them.
    parameters: of the model.
    nbytes: of the bundle's files.
    context_length: the most tokens of a sequence.
    vocab_size: the width of its logits.
    adapters: names of those that lie beside its weights.
    digest: SHA-256 (hex) of the manifest, and so of all files.
    """

    family: str = ""
    precision: str = ""
    provider: str = ""
    parameters: int = 0
    nbytes: int = 0
    context_length: int = 0
    vocab_size: int = 0
    adapters: tuple[str, ...] = ()
    digest: str = ""

    @classmethod
    def of(cls, bundle: Bundle) -> BundleFacts:
        manifest = bundle.manifest
        return cls(
            family=manifest.model.family,
            precision=manifest.recipe.precision,
            provider=manifest.graph.provider,
            parameters=architecture_of(manifest.model).parameters,
            nbytes=sum(entry.size for entry in manifest.files.values()),
            context_length=manifest.context_length,
            vocab_size=manifest.model.vocab_size,
            adapters=tuple(one.name for one in manifest.adapters or ()),
            digest=hashlib.sha256(bundle.file(names.MANIFEST).read_bytes()).hexdigest(),
        )
