"""Does a bundle compute what its checkpoint computes?

Order of work, to bound memory: the bundle runs first and its session is closed; PyTorch then checks the same tokens
layer by layer. Both never are in memory together, and logits are kept for a few positions only, on disk. PyTorch runs
twice for integer bundles: with the checkpoint's weights, and with those weights rounded as the bundle stores them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.errors import BundleError, VerificationError
from youtu_onnx.core.progress import Progress, Silent
from youtu_onnx.verify.difference import TIE, Difference, centre, compare
from youtu_onnx.verify.graph import Check, check_graph, usable_provider
from youtu_onnx.verify.parity import Parity, PromptParity
from youtu_onnx.verify.prompts import encode_prompts
from youtu_onnx.verify.rounding import Rounding, rounding

if TYPE_CHECKING:
    from youtu_onnx.families.checkpoint import Checkpoint
    from youtu_onnx.runtimes.ort.model import OrtModel
    from youtu_onnx.runtimes.providers.options import ProviderOptions

LONGEST = 128
"""Tokens of a prompt at most."""

KEPT = 16
"""Last positions of a prompt whose logits are compared."""

STEPS = 16
"""Tokens of the greedy continuation."""

CHUNK = 7
"""Tokens of a step in the ``chunks`` path: odd, so that its last step is shorter."""

SLOW = 2
"""Shortest prompts that also go through the ``chunks`` and ``tokens`` paths, which cost a step of the model each."""

BATCHED = 3
"""Shortest prompts that make the ``batch`` path."""


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
        _refuse_another_shape(bundle, checkpoint)
        checks.append(_check_source(bundle, checkpoint, progress))
    progress.begin("check the graph")
    if require_provider and provider is None:
        provider = _own_provider(bundle)
    options = _exact(options, provider or usable_provider(bundle))
    checks += check_graph(bundle, provider, options, require_provider=require_provider)
    sound = all(check.passed is not False for check in checks)
    parity = None
    if checkpoint is not None and sound:
        parity = verify_parity(path, checkpoint, progress, provider=provider, options=options)
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
    source = bundle.manifest.source
    if found == dict(source.files):
        return Check("source", True, f"made of {source.model}, whose weights these are")
    differing = sorted(name for name in {*found, *source.files} if found.get(name) != source.files.get(name))
    return Check("source", None, f"made of {source.model}, but these are other weights than then: {', '.join(differing)}")


def verify_parity(
    bundle_path: str | Path,
    checkpoint: Checkpoint,
    progress: Progress | None = None,
    *,
    provider: str | None = None,
    options: ProviderOptions | None = None,
) -> Parity:
    """Compare a bundle with PyTorch on real prompts.

    Args:
        provider: to run the bundle on; None takes its target's, or the CPU where that isn't installed.
            ``Parity.provider`` says which it was.
        options: of the provider; None leaves its defaults, but that CUDA computes without TF32.

    Raises:
        BundleError, ProviderError, ResourceError: the bundle can't be run.
        CheckpointError: the checkpoint can't be read.
        VerificationError: the two are not even of one shape.
    """
    progress = progress or Silent()
    bundle = Bundle.open(bundle_path)
    _refuse_another_shape(bundle, checkpoint)
    vocab_size = bundle.manifest.model.vocab_size
    context = bundle.manifest.context_length
    steps = min(STEPS, context // 2)
    longest = min(LONGEST, context - steps)
    prompts = encode_prompts(bundle.path, longest=longest)
    largest = max(max(ids) for _, ids in prompts)
    if largest >= vocab_size:
        raise BundleError(
            f"{bundle.path}: the tokenizer gives id {largest}, the model has {vocab_size} tokens",
            hint="export the bundle again, with the model's own tokenizer",
        )
    traces, used = _run_bundle(bundle, [ids for _, ids in prompts], steps, provider, options, progress)
    compared = _compare([text for text, _ in prompts], traces, checkpoint, bundle.manifest, progress)
    progress.finish()
    return Parity(bundle.manifest.recipe.precision, used, *compared)


@dataclass
class _Trace:
    """What one prompt's runs gave. ``paths``: name → (first position, reader of the logits ``[N, V]`` from there on)."""

    ids: list[int]
    spool: _Spool
    greedy: list[int] = field(default_factory=list)
    paths: dict[str, tuple[int, Callable[[], np.ndarray]]] = field(default_factory=dict)

    def keep(self, path: str, first: int, logits: np.ndarray) -> None:
        self.paths[path] = (first, self.spool.put(logits))

    @property
    def first(self) -> int:
        """The first position that is compared."""
        return max(0, len(self.ids) - KEPT)

    @property
    def sequence(self) -> list[int]:
        """All tokens that went in: the prompt and the continuation but for its last token."""
        return self.ids + self.greedy[:-1]


class _Spool:
    """Logits on disk until they are compared: those of a large vocabulary would outweigh all else beside the session."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the readers that it gave

    def put(self, array: np.ndarray) -> Callable[[], np.ndarray]:
        """Write an array; the result reads it back."""
        offset = self._file.seek(0, 2)
        self._file.write(memoryview(np.ascontiguousarray(array)).cast("B"))

        def read() -> np.ndarray:
            self._file.seek(offset)
            return np.frombuffer(self._file.read(array_bytes), dtype).reshape(shape)

        array_bytes, dtype, shape = array.nbytes, array.dtype, array.shape
        return read


def _run_bundle(
    bundle: Bundle,
    prompts: Sequence[list[int]],
    steps: int,
    provider: str | None,
    options: ProviderOptions | None,
    progress: Progress,
) -> tuple[list[_Trace], str]:
    from youtu_onnx.runtimes.ort.model import OrtModel
    from youtu_onnx.runtimes.providers.providers import provider as provider_called

    spool = _Spool()
    traces = [_Trace(ids, spool) for ids in prompts]
    by_length = sorted(traces, key=lambda trace: len(trace.ids))
    shortest, batch = by_length[:SLOW], by_length[:BATCHED]
    total = (
        sum(len(t.ids) + steps for t in traces)
        + 2 * sum(len(t.ids) for t in shortest)
        + len(batch) * max(len(t.ids) for t in batch)
    )
    used = provider or usable_provider(bundle)
    slots = bundle.manifest.slots is not None and provider_called(used).name == "cpu"
    total += sum(len(t.ids) + steps - 1 for t in batch) if slots else 0
    progress.begin("run the bundle", total, "tok")
    model = OrtModel(bundle, used, options=_exact(options, used), find=lambda _: None)  # the bundle's own graph
    try:
        for trace in traces:
            _run_greedy(model, trace, steps, progress.advance)
        for trace in shortest:
            for path, size in (("chunks", CHUNK), ("tokens", 1)):
                trace.keep(path, trace.first, _run_in_steps(model, trace, size, progress.advance))
        _run_batch(model, batch, progress.advance)
    finally:
        model.close()
    if slots:
        _run_slots(bundle, batch, progress.advance)
    return traces, model.provider.name


def _own_provider(bundle: Bundle) -> str:
    """The target's, which is not the CPU's just because it isn't installed."""
    from youtu_onnx.runtimes.providers.providers import chosen

    return chosen(None, bundle.manifest.graph.provider).ort


def _exact(options: ProviderOptions | None, name: str) -> ProviderOptions:
    """Options with TF32 off where the provider has it and nobody asked for it."""
    from youtu_onnx.runtimes.providers.options import APPLIES, ProviderOptions
    from youtu_onnx.runtimes.providers.providers import provider

    options = options or ProviderOptions()
    has_tf32 = provider(name).name in APPLIES["use_tf32"]
    return replace(options, use_tf32=False) if has_tf32 and options.use_tf32 is None else options


def _run_greedy(model: OrtModel, trace: _Trace, steps: int, advance: Callable[[int], None]) -> None:
    """Paths ``prefill`` and ``decode``."""
    length = len(trace.ids)
    logits, past = model.run(*_inputs(trace.ids, 0), None)
    trace.keep("prefill", trace.first, logits[0, trace.first :])
    rows = [logits[0, -1].copy()]  # a view would keep all positions' logits
    advance(length)
    for _ in range(steps):
        trace.greedy.append(int(rows[-1].argmax()))
        if len(trace.greedy) == steps:
            break
        logits, past = model.run(*_inputs(trace.greedy[-1:], length + len(trace.greedy) - 1), past)
        rows.append(logits[0, -1])
        advance(1)
    advance(1)
    if len(rows) > 1:
        trace.keep("decode", length, np.stack(rows[1:]))


def _run_in_steps(model: OrtModel, trace: _Trace, size: int, advance: Callable[[int], None]) -> np.ndarray:
    """Logits of the prompt's compared positions, ``size`` tokens a step."""
    kept, past = [], None
    for start in range(0, len(trace.ids), size):
        part = trace.ids[start : start + size]
        logits, past = model.run(*_inputs(part, start), past)
        kept.append(logits[0, max(0, trace.first - start) :].copy())
        advance(len(part))
    return np.concatenate(kept)


def _run_batch(model: OrtModel, traces: Sequence[_Trace], advance: Callable[[int], None]) -> None:
    """Path ``batch``: the prompts padded on the left, then the first greedy token of each."""
    width = max(len(trace.ids) for trace in traces)
    prompts, mask, past = model.run_batch([trace.ids for trace in traces], pad_id=0)
    kept = [prompts[row, width - (len(trace.ids) - trace.first) :].copy() for row, trace in enumerate(traces)]
    del prompts
    advance(width * len(traces))
    ids = np.array([trace.greedy[:1] for trace in traces])
    mask = np.concatenate([mask, np.ones_like(ids)], 1)
    positions = np.array([[len(trace.ids)] for trace in traces])
    logits, _ = model.run(ids, mask, positions, past)
    for row, trace in enumerate(traces):
        rows = [kept[row], logits[row]] if len(trace.greedy) > 1 else [kept[row]]
        trace.keep("batch", trace.first, np.concatenate(rows))


def _run_slots(bundle: Bundle, traces: Sequence[_Trace], advance: Callable[[int], None]) -> None:
    """Path ``slots``, of the batch graph: the sequences join one after the other, in slots far apart, and go on together."""
    from youtu_onnx.runtimes.batch import Chunk
    from youtu_onnx.runtimes.ort.batch_model import BatchModel

    model = BatchModel(bundle, find=lambda _: None)  # the bundle's own graph
    try:
        caches, rows = [model.new_cache() for _ in traces], [[] for _ in traces]
        slots = [place * (model.count - 1) // max(len(traces) - 1, 1) for place in range(len(traces))]  # every branch is taken
        for step in range(len(traces) + len(traces[0].greedy) - 1):
            going = [place for place, trace in enumerate(traces[:step]) if len(rows[place]) < len(trace.greedy)]
            tokens = {slots[place]: (caches[place], traces[place].greedy[len(rows[place]) - 1]) for place in going}
            joins = traces[step] if step < len(traces) else None
            logits = model.step(tokens, Chunk(caches[step], joins.ids, True) if joins else None)
            for place, row in zip((*going, *([step] if joins else [])), logits, strict=True):
                rows[place].append(row)
            advance(len(tokens) + (len(joins.ids) if joins else 0))
    finally:
        model.close()
    for trace, kept in zip(traces, rows, strict=True):
        trace.keep("slots", len(trace.ids) - 1, np.stack(kept))


def _inputs(ids: Sequence[int], length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids ``[1, S]``, mask ``[1, T]`` and positions ``[1, S]`` of tokens after ``length`` others."""
    total = length + len(ids)
    return np.array([ids], np.int64), np.ones((1, total), np.int64), np.arange(length, total, dtype=np.int64)[None]


def _compare(
    texts: Sequence[str], traces: Sequence[_Trace], checkpoint: Checkpoint, manifest: Manifest, progress: Progress
) -> tuple[tuple[PromptParity, ...], float | None, float | None]:
    """Prompts' parity, and the mean nats per prompt token of the reference and of the bundle."""
    stored = rounding(manifest, checkpoint.tensor)
    tied = checkpoint.architecture.tie_word_embeddings
    again = checkpoint.tensors["model.embed_tokens.weight"].nbytes if tied else 0
    progress.begin("compare with PyTorch", (checkpoint.nbytes + again) * (2 if stored else 1))
    references = _reference(checkpoint, traces, None, progress)
    prompts, nll, twin_nll = [], [], []
    for text, trace, reference in zip(texts, traces, references, strict=True):
        paths = _differences(trace, reference)
        last = len(trace.ids) - 1 - trace.first  # its row chooses the first greedy token
        chosen = reference[last : last + len(trace.greedy)]
        equal = [row[token] >= row.max() - TIE * np.abs(row).max() for row, token in zip(chosen, trace.greedy, strict=True)]
        prompts.append(PromptParity(text, len(trace.ids), paths, {} if stored else paths, int(sum(equal)), len(equal)))
        following = trace.ids[trace.first + 1 :]
        nll += _nll(reference, following)
        twin_nll += _nll(trace.paths["prefill"][1](), following)
    if stored:
        del references, reference, chosen  # a large vocabulary's logits are the largest thing in memory
        # Prompts that took a path, or an order of attention, that others didn't: the rest would add time, not knowledge.
        some = [i for i, trace in enumerate(traces) if len(trace.paths) > 2 or manifest.graph.expands(len(trace.ids))]
        for i, reference in zip(some, _reference(checkpoint, [traces[i] for i in some], stored, progress), strict=True):
            prompts[i] = replace(prompts[i], graph=_differences(traces[i], reference))
    return tuple(prompts), float(np.mean(nll)) if nll else None, float(np.mean(twin_nll)) if nll else None


def _reference(checkpoint: Checkpoint, traces: Sequence[_Trace], stored: Rounding | None, progress: Progress) -> list[np.ndarray]:
    """PyTorch's logits from each trace's first compared position on."""
    from youtu_onnx.runtimes.pytorch import reference_logits

    return reference_logits(
        checkpoint,
        [trace.sequence for trace in traces],
        weights=stored,
        keep=[slice(trace.first, None) for trace in traces],
        on_bytes=progress.advance,
    )


def _differences(trace: _Trace, reference: np.ndarray) -> dict[str, Difference]:
    around, found = centre(reference), {}
    for name, (start, read) in trace.paths.items():
        logits = read()
        found[name] = compare(reference[start - trace.first : start - trace.first + len(logits)], logits, around)
    return found


def _nll(logits: np.ndarray, following: Sequence[int]) -> list[float]:
    """Negative log-likelihood, in nats, of the token that follows each position."""
    losses = []
    for row, token in zip(logits, following, strict=False):  # logits reach further than the prompt
        row = row.astype(np.float64)
        losses.append(float(np.log(np.exp(row - row.max()).sum()) + row.max() - row[token]))
    return losses


def _refuse_another_shape(bundle: Bundle, checkpoint: Checkpoint) -> None:
    one: dict[str, Any] = dict(bundle.manifest.model.record)
    other = checkpoint.architecture.to_dict()
    differing = ", ".join(f"{name} {one[name]} and {other[name]}" for name in one if one[name] != other[name])
    if differing:
        raise VerificationError(
            f"{bundle.path} was made of a model of another shape than {checkpoint.name}: {differing}",
            hint=f"name the checkpoint that it was made of: {bundle.manifest.source.model}",
        )
