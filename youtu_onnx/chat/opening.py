"""Bundle → :class:`youtu_onnx.chat.model.Model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from youtu_onnx.chat.model import Model
from youtu_onnx.chat.prompt_lookup import PromptLookup
from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.adapters.choice import BASE, NamedAdapter
from youtu_onnx.runtimes.decoder import Decoder
from youtu_onnx.runtimes.opening import open_decoder
from youtu_onnx.runtimes.providers.choice import ProviderChoice
from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.providers import variant_for
from youtu_onnx.text import ChatTemplate, Tokenizer


@dataclass(frozen=True)
class OpeningOptions:
    """How a bundle is opened for generation.

    Attributes:
        provider: where to run.
        runtime: ``ort`` or ``genai``.
        threads: of the CPU provider; None takes one per physical core.
        prompt_lookup: how replies guess ahead; None: not at all.
        adapter: name or folder of the one that replies are written with; None: none.

    Raises:
        UsageError: prompt lookup on a runtime that gains nothing by it.
    """

    provider: ProviderChoice = field(default_factory=ProviderChoice)
    runtime: str = "ort"
    threads: int | None = None
    prompt_lookup: PromptLookup | None = None
    adapter: str | None = None

    def __post_init__(self) -> None:
        if self.prompt_lookup is not None and self.runtime == "genai":
            raise UsageError(
                "the genai runtime gives the logits of one token per step, so prompt lookup can save none there",
                hint="use --runtime ort, or leave --prompt-lookup away",
            )


def load(
    path: str | Path,
    provider: str | None = None,
    runtime: str = "ort",
    threads: int | None = None,
    prompt_lookup: PromptLookup | bool = False,
    *,
    provider_options: ProviderOptions | Mapping[str, object] | None = None,
    require_provider: bool = False,
    adapter: str | Path | None = None,
) -> Model:
    """Open a bundle for generation.

    Args:
        provider: as in ``--provider``; None takes the one that the bundle was exported for.
        runtime: ``ort`` or ``genai``.
        threads: of the CPU provider; None takes one per physical core.
        prompt_lookup: guess tokens from the text so far and try several in a step; True is ``PromptLookup()``.
        provider_options: as in ``--provider-option``: ``{"device_id": 1, "gpu_mem_limit": "4GiB", "use_tf32": False}``.
        adapter: which of the bundle's LoRA adapters replies are written with, or the folder of another one in PEFT's format.
        require_provider: raise where a node runs elsewhere, but for small ones that every provider leaves to the CPU.

    Raises:
        BundleError: no bundle, or a damaged one.
        UsageError: an unknown provider or runtime, options that the provider doesn't have, or prompt lookup on a
            runtime that gains nothing by it.
        ProviderError: a provider or runtime that isn't installed.
        ResourceError: too little memory.
    """
    lookup = PromptLookup() if prompt_lookup is True else prompt_lookup or None
    choice = ProviderChoice.of(provider, provider_options, require_provider)
    return open_model(path, OpeningOptions(choice, runtime, threads, lookup, None if adapter is None else str(adapter)))


def open_model(
    path: str | Path, options: OpeningOptions, decoder: Callable[[Bundle, OpeningOptions], Decoder] | None = None
) -> Model:
    """:func:`load` with its options as one object. ``decoder``: what opens it; None: what the options say."""
    choice = options.provider
    bundle = Bundle.open(path, target=variant_for(choice.name))
    # The runtime packs weights on one core; the other reads the tokenizer meanwhile.
    with ThreadPoolExecutor(1) as background, ExitStack() as undo:
        opening = background.submit(decoder or _open, bundle, options)
        undo.callback(_close, opening)
        tokenizer = Tokenizer.open(bundle.path)
        template = ChatTemplate.open(bundle.path, tokenizer)
        model = Model(bundle, tokenizer, template, opening.result(), options.prompt_lookup)
        if options.adapter is not None:
            model.adapter = _chosen(model, options.adapter)
        undo.pop_all()
    return model


def _open(bundle: Bundle, options: OpeningOptions) -> Decoder:
    choice = options.provider
    return open_decoder(
        bundle, options.runtime, choice.name, options.threads, options=choice.options, require_provider=choice.required
    )


def _chosen(model: Model, adapter: str) -> str:
    """The name of an adapter that the model has, or has now that it was read from a folder or file."""
    if adapter in (BASE, *model.adapters) or not Path(adapter).expanduser().exists():
        return model.named(adapter)
    named = NamedAdapter.parse(adapter.removesuffix(names.ADAPTER_SUFFIX))
    model.load_adapter(named.name, adapter)
    return named.name


def _close(opening: Future[Decoder]) -> None:
    """What nobody will use, since something else failed."""
    if opening.exception() is None:
        opening.result().close()
