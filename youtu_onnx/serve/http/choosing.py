"""Which bundles a server answers with, what they are called, and the memory that they may take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import ResourceError, UsageError
from youtu_onnx.core.machine import memory
from youtu_onnx.explain.explanation import writes_steps
from youtu_onnx.runtimes.providers.choice import ProviderChoice
from youtu_onnx.runtimes.providers.providers import variant_for
from youtu_onnx.serve.engine.limits import Limits, free_cache_memory
from youtu_onnx.serve.engine.opening import open_engine
from youtu_onnx.serve.http.explain_route import explainer_of
from youtu_onnx.serve.http.served_bundle import Opened, ServedBundle
from youtu_onnx.serve.text.model_text import ModelText

MEMORY_SHARE = 0.9
"""Of the memory that is free at the start, what several bundles may take together unless the user says otherwise."""


@dataclass(frozen=True)
class ChosenBundle:
    """A bundle's folder, and what requests call it; None: its checkpoint's name."""

    path: Path
    name: str | None = None

    @classmethod
    def parse(cls, text: str) -> ChosenBundle:
        """``DIR``, or ``NAME=DIR``.

        Raises:
            UsageError: the name is empty.
        """
        name, sign, folder = text.partition("=")
        if not sign or Path(text).exists():
            return cls(Path(text))
        if not name.strip() or not folder:
            raise UsageError(f"{text!r} is neither DIR nor NAME=DIR", hint="pass a bundle's folder, or a name for it before a =")
        return cls(Path(folder), name.strip())


def chosen_texts(chosen: Sequence[ChosenBundle], provider: ProviderChoice) -> list[ModelText]:
    """What the bundles say of text, under names that differ: of several of one checkpoint, each has its folder's.

    Raises:
        BundleError: no bundle, or a damaged one.
        UsageError: two have one name.
    """
    target = variant_for(provider.name)
    texts = [ModelText.open(one.path, name=one.name, target=target) for one in chosen]
    times = Counter(text.id for text in texts)
    named = [
        replace(text, id=one.path.resolve().name) if one.name is None and times[text.id] > 1 else text
        for one, text in zip(chosen, texts, strict=True)
    ]
    twice = [name for name, count in Counter(text.id for text in named).items() if count > 1]
    if twice:
        raise UsageError(f"two bundles are called {twice[0]!r}", hint="give each a name of its own: NAME=DIR")
    return named


def served_bundles(
    chosen: Sequence[ChosenBundle], texts: Sequence[ModelText], provider: ProviderChoice, limits: Limits
) -> list[ServedBundle]:
    """None of them is loaded yet. Each of several has its part of the memory for caches, unless ``limits`` says what each has."""
    each = limits
    if len(chosen) > 1 and limits.cache_memory is None:
        each = replace(limits, cache_memory=free_cache_memory(len(chosen)))
    return [_served(one, text, provider, each) for one, text in zip(chosen, texts, strict=True)]


def memory_for(bundles: Sequence[ServedBundle], asked: int | None) -> int:
    """Bytes that all loaded ones may take together.

    Raises:
        ResourceError: one alone takes more.
    """
    limit = int(MEMORY_SHARE * memory()[1]) if asked is None else asked
    largest = max(bundles, key=lambda one: one.cost)
    if largest.cost > limit:
        raise ResourceError(
            f"{largest.text.id} takes {largest.cost / 1e9:.1f} GB with its cached tokens, and all bundles together may take "
            f"{limit / 1e9:.1f} GB",
            hint="give --memory more, or --cache-memory less",
        )
    return limit


def _served(one: ChosenBundle, text: ModelText, provider: ProviderChoice, limits: Limits) -> ServedBundle:
    bundle = Bundle.open(one.path, target=variant_for(provider.name))
    longest = min(text.facts.context_length, limits.context or text.facts.context_length)
    if limits.cache_memory is not None:
        longest = min(longest, limits.cache_memory // (2 * bundle.manifest.cache.bytes_per_token))
    return ServedBundle(
        text,
        partial(_opened, bundle, text, provider, limits),
        cost=text.facts.nbytes + (limits.cache_memory or 0),
        expected_context=longest,
        steps=writes_steps(bundle) and text.template is not None,
    )


def _opened(bundle: Bundle, text: ModelText, provider: ProviderChoice, limits: Limits) -> Opened:
    engine = open_engine(bundle, provider=provider.name, options=provider.options, limits=limits)
    return Opened(engine, explainer_of(bundle, text, provider))
