"""Bundles on onnxruntime-genai: the same Decoder over ``genai_config.json``.

The library is optional and imported when a bundle is opened.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import BundleError, ProviderError, UsageError
from youtu_onnx.runtimes.adapters import ActiveAdapter
from youtu_onnx.runtimes.cache_use import check_kept, droppable
from youtu_onnx.runtimes.decoder import check_ids, check_rewind, steps
from youtu_onnx.runtimes.failures import explain
from youtu_onnx.runtimes.genai_adapters import Loaded, open_adapters
from youtu_onnx.runtimes.providers.providers import PROVIDERS, chosen


class GenaiDecoder:
    """The Decoder over an ``onnxruntime_genai.Generator``. Implements
    :class:`youtu_onnx.runtimes.adapters.AdaptedDecoder`."""

    def __init__(self, bundle: Bundle, provider: str | None = None) -> None:
        """Open the bundle's folder.

        Raises:
            UsageError: a bundle whose cache form genai can't run, or a provider that it can't continue on.
            ProviderError: onnxruntime-genai or the provider isn't installed.
            BundleError: genai can't read the bundle.
        """
        if not bundle.file(names.GENAI_CONFIG).is_file():
            raise UsageError(
                f"the bundle at {bundle.path} has no {names.GENAI_CONFIG}: onnxruntime-genai needs a cache of one shape, "
                f"with a row for each token, and this one is {bundle.manifest.cache.form}",
                hint="run it with --runtime ort, or export it with another --cache",
            )
        if not bundle.manifest.cache.uniform:
            raise UsageError(
                f"onnxruntime-genai reads the length of a sequence off its cache's shapes, and with the cache of {bundle.path} "
                "layers hold different numbers of tokens",
                hint="run it with --runtime ort",
            )
        og = _library()
        wanted = chosen(provider, bundle.manifest.graph.provider)
        if wanted.genai is None:
            raise UsageError(
                f"the genai runtime does not continue a sequence on provider {wanted.name}",
                hint=f"use --runtime ort, or choose one of: {', '.join(one.name for one in PROVIDERS if one.genai)}",
            )
        if wanted.genai.has and not getattr(og, wanted.genai.has)():
            raise ProviderError(
                f"provider {wanted.name} is not in the installed onnxruntime-genai",
                hint=f"pip install 'onnxruntime-genai-{wanted.name}', or choose --provider cpu",
            )
        self._og: Any = og
        self._model = _open_model(og, bundle, wanted.genai.name)
        self.adapters = open_adapters(og, self._model, bundle)
        self._adapter: ActiveAdapter | None = None
        self.vocab_size = bundle.manifest.model.vocab_size
        self.context_length = _context_length(bundle)
        self._cache = bundle.manifest.cache
        self.rewindable = droppable(self._cache)
        self._generator: Any = None
        self._length = 0

    @property
    def length(self) -> int:
        return self._length

    @property
    def rows(self) -> None:
        """One for each token: genai holds no other cache."""
        return None

    def prefill(self, ids: Sequence[int]) -> np.ndarray:
        for chunk in steps(self._check(ids)):
            self._append(chunk)
        return self._logits()

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        # get_logits gives the last token's only, so each token is a step of its own
        rows = []
        for one in self._check(ids):
            self._append([one])
            rows.append(self._logits())
        return np.stack(rows)

    def rewind(self, count: int) -> None:
        check_rewind(count, self._length)
        check_kept(self._cache, self._length - count, self._length)
        if count == self._length:
            self.reset()
        elif count:
            self._generator.rewind_to(self._length - count)
            self._length -= count

    def use(self, adapter: ActiveAdapter | None) -> None:
        if adapter is not self._adapter:
            self.reset()
            self._adapter = adapter

    def reset(self) -> None:
        self._generator, self._length = None, 0

    def close(self) -> None:
        self.reset()
        self._model = self.adapters = self._adapter = None

    def _check(self, ids: Sequence[int]) -> list[int]:
        if self._model is None:
            raise UsageError("the decoder was closed", hint="open the bundle again")
        return check_ids(ids, length=self._length, context_length=self.context_length, vocab_size=self.vocab_size)

    def _append(self, ids: Sequence[int]) -> None:
        try:
            if self._generator is None:
                self._generator = self._new_generator()
            self._generator.append_tokens(np.asarray(ids, np.int32))
        except Exception as error:  # the library raises bare RuntimeErrors and Exceptions
            self.reset()  # how far the generator came is not known
            raise explain(error, f"a step of {len(ids)} tokens failed") from error
        self._length += len(ids)

    def _logits(self) -> np.ndarray:
        logits = np.asarray(self._generator.get_logits())  # [1, 1 or S, V]
        return np.array(logits.reshape(-1, logits.shape[-1])[-1], np.float32)

    def _new_generator(self) -> Any:
        params = self._og.GeneratorParams(self._model)
        params.set_search_options(max_length=self.context_length, batch_size=1, do_sample=False)
        made = self._og.Generator(self._model, params)
        if self._adapter is not None:
            loaded: Loaded = self._adapter.values["loaded"]
            made.set_active_adapter(loaded.owner, loaded.name)
        return made


def _library() -> ModuleType:
    try:
        return importlib.import_module("onnxruntime_genai")
    except ImportError as error:
        raise ProviderError(f"the genai runtime is not installed ({error})", hint="pip install 'youtu-onnx[genai]'") from error


def _open_model(og: ModuleType, bundle: Bundle, provider: str | None) -> Any:
    try:
        config = og.Config(str(bundle.path))
        config.clear_providers()
        if provider is not None:
            config.append_provider(provider)
        return og.Model(config)
    except Exception as error:  # the library raises bare RuntimeErrors and Exceptions
        raise explain(error, f"onnxruntime-genai can't open {bundle.path}") from error


def _context_length(bundle: Bundle) -> int:
    """The model's context, or less where genai reserves its cache at once and the bundle says how much."""
    limit = bundle.manifest.model.max_position_embeddings
    try:
        search = json.loads(bundle.file(names.GENAI_CONFIG).read_text(encoding="utf-8"))["search"]
        return min(limit, search.get("max_length", limit)) if search.get("past_present_share_buffer") else limit
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{bundle.file(names.GENAI_CONFIG)} can't be read: {error}", hint="export the bundle again") from error
