"""Everything that can be found out about a bundle: files, graph, and what it computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import BundleError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.families.checkpoint import Checkpoint
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.verify.comparing import refuse_another_shape, verify_parity
from youtu_onnx.verify.graph import Check, check_graph
from youtu_onnx.verify.parity import Parity
from youtu_onnx.verify.provider import exact_options, own_provider, usable_provider
from youtu_onnx.verify.weights import WeightReport

__all__ = ["Verification", "verify_bundle", "verify_parity"]


@dataclass(frozen=True)
class Verification:
    """Everything that was found out about a bundle. ``parity`` is None where no checkpoint was given, or a check failed."""

    checks: tuple[Check, ...]
    parity: Parity | None

    @property
    def passed(self) -> bool:
        return all(check.passed is not False for check in self.checks) and (self.parity is None or self.parity.passed)

    def to_dict(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "checks": [check.to_dict() for check in self.checks],
            "parity": self.parity.to_dict() if self.parity else None,
        }


def verify_bundle(
    path: str | Path,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    *,
    provider: str | None = None,
    options: ProviderOptions | None = None,
    require_provider: bool = False,
) -> Verification:
    """Hash all files, check the graph, and compare it with a checkpoint where one is given.

    A bundle with damaged files is not run. On CUDA, float32 products are not rounded to TF32 unless ``options`` say so:
    parity is the graph's, not the hardware's short cut.

    Args:
        provider: to run it on; None takes the target's, or without ``require_provider`` the CPU where that isn't installed.
        options: of the provider; None leaves its defaults, but for TF32.
        require_provider: let no node run elsewhere but what :mod:`youtu_onnx.conformance.host` excuses.

    Raises:
        BundleError: it is no bundle at all.
        The errors of :func:`verify_parity`, and those of a provider that can't run it.
    """
    progress = progress or Silent()
    bundle, check = _check_files(Path(path), progress)
    checks = [check]
    if bundle is None:
        return Verification(tuple(checks), None)
    if checkpoint is not None:
        refuse_another_shape(bundle, checkpoint)
        checks.append(_check_source(bundle, checkpoint, progress))
    progress.begin("check the graph")
    if require_provider and provider is None:
        provider = own_provider(bundle)
    options = exact_options(options, provider or usable_provider(bundle))
    checks += check_graph(bundle, provider, options, require_provider=require_provider)
    sound = all(check.passed is not False for check in checks)
    parity = None
    if checkpoint is not None and sound:
        parity = verify_parity(path, checkpoint, progress, provider=provider, options=options)
        checks.append(_check_weights(parity.weights))
    progress.finish()
    return Verification(tuple(checks), parity)


def _check_files(path: Path, progress: Progress) -> tuple[Bundle | None, Check]:
    """The bundle, and whether every file has the size and the SHA-256 that the manifest says; None where one hasn't."""
    if (path / names.MANIFEST).is_file():
        manifest = Manifest.read(path / names.MANIFEST)
        progress.begin("hash the files", sum(entry.size for entry in manifest.files.values()))
        try:
            bundle = Bundle.open(path, hash_limit=None, on_bytes=progress.advance)
        except BundleError as error:
            return None, Check("files", False, error.message)
        return bundle, Check("files", True, f"{len(manifest.files)} files, {bundle.size:,} bytes: all SHA-256 agree")
    return Bundle.open(path), Check("files", True, "")  # raises: it says best what is missing


def _check_source(bundle: Bundle, checkpoint: Checkpoint, progress: Progress) -> Check:
    """Whether this is the checkpoint that the bundle was made of. Another one is worth knowing; parity decides."""
    progress.begin("hash the checkpoint", sum(file.stat().st_size for file in checkpoint.weight_files))
    found = {file.name: describe_file(file, progress.advance) for file in checkpoint.weight_files}
    source, change = bundle.manifest.source, checkpoint.change
    if source.adapter is not None and change is not None and source.adapter.sha256 != change.sha256:
        return Check("source", None, f"made with the adapter {source.adapter.name}, but this is another one")
    if found == dict(source.files):
        return Check("source", True, f"made of {source.model}, whose weights these are")
    differing = sorted(name for name in {*found, *source.files} if found.get(name) != source.files.get(name))
    return Check("source", None, f"made of {source.model}, but these are other weights than then: {', '.join(differing)}")


def _check_weights(found: WeightReport) -> Check:
    return Check("weights", not found.faults, "; ".join(found.faults) or found.summary())
