"""A bundle's cache as transformers' generate() wants it: an object that a step extends, that can be cropped and reordered.

Shapes: B sequences, P tokens in the cache, S new ones, T = P + S. The rows stay in ONNX Runtime's tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from transformers import Cache

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.cache_use import droppable
from youtu_onnx.runtimes.huggingface.rows import BatchRows, OneSequence, ReservedSequences, ReturnedSequences
from youtu_onnx.runtimes.ort.in_place_cache import InPlaceCache


class OrtCache(Cache):
    """``past_key_values`` of :class:`youtu_onnx.runtimes.huggingface.model.ORTYoutuForCausalLM`: all sequences of a batch, all
    layers.

    One sequence is kept in place where the layout allows it, so that a step moves none of its rows. Several are kept as
    each step returns them: a step copies the cache once, a reordering by beams once more. Where the length is reserved, so are
    buffers for the whole batch.

    The rows can't be seen as one key and one value per layer (two layers of a latent cache share a pair), so ``layers`` is
    empty and :meth:`update` refuses. ``copy.deepcopy`` copies the rows.
    """

    def __init__(self, layout: CacheLayout, device: str, context_length: int) -> None:
        """``device``: where the rows are, in ONNX Runtime's words."""
        super().__init__(layers=[])
        self._layout, self._device, self._context_length = layout, device, context_length
        self._rows: BatchRows | None = None  # None: no step was made, so the batch is unknown

    def bind(self, binding: ort.IOBinding, batch: int, count: int) -> None:
        """Bind pasts of P and presents of P + ``count`` tokens.

        Raises:
            UsageError: the cache holds another number of sequences.
        """
        if self._rows is None or (self._rows.length == 0 and self._rows.batch != batch):
            self._rows = self._empty(batch)
        if self._rows.batch != batch:
            raise UsageError(
                f"the cache holds {self._rows.batch} sequences, and input_ids {batch}",
                hint="repeat the cache first: past_key_values.batch_repeat_interleave(n)",
            )
        self._rows.bind(binding, count)

    def commit(self, binding: ort.IOBinding, count: int) -> None:
        """Take over what the step computed; without it nothing changed."""
        if self._rows is not None:
            self._rows.commit(binding, count)

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` tokens, of P.

        Raises:
            UsageError: the layout doesn't allow it.
        """
        if self._rows is not None:
            self._rows.truncate(length)

    def restorer(self) -> Callable[[], None]:
        """What brings back the tokens that are in it now, and drops those that steps added meanwhile."""
        return self.reset if self._rows is None else self._rows.restorer()

    def arrays(self) -> list[np.ndarray]:
        """The rows on the host, ``[B, heads, P, width]`` each, in the graph's order; nothing of an untouched cache."""
        return [] if self._rows is None else self._rows.arrays()

    # ---- what generate() calls

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0 if self._rows is None else self._rows.length

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """-1: it grows with the sequence; or the reserved length."""
        return self._layout.length or -1

    get_max_cache_shape = get_max_length  # its name in transformers up to 5.2

    def get_mask_sizes(self, query_length: Any, layer_idx: int = 0) -> tuple[int, int]:
        """T and the offset of the first key. ``query_length``: S; older releases pass S positions."""
        count = query_length if isinstance(query_length, int) else len(query_length)
        return self.get_seq_length() + count, 0

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Sequence i becomes what sequence ``beam_idx[i]`` was."""
        self._select(beam_idx)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these sequences, or those where a mask is true."""
        self._select(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every sequence ``repeats`` times: 0, 0, 1, 1, …"""
        if self._rows is not None:
            self._select(torch.arange(self._rows.batch).repeat_interleave(repeats))

    def crop(self, tokens_to_remove: int) -> None:
        """Drop the last ``-tokens_to_remove`` tokens; a positive number is the length to keep, as older releases mean it.

        Raises:
            UsageError: the cache is shorter, or its layout doesn't allow it.
        """
        length = self.get_seq_length()
        kept = tokens_to_remove if tokens_to_remove > 0 else length + tokens_to_remove
        if kept < 0:
            raise UsageError(f"can't drop {-tokens_to_remove} tokens: the cache holds {length}")
        if kept < length:
            self.truncate(kept)

    def reset(self) -> None:
        self._rows = None

    def activate_past_recording(self) -> None:
        """Where tokens can be dropped, any number can at any time: nothing to record."""

    def update(self, *states: Any, **more: Any) -> tuple[torch.Tensor, torch.Tensor]:
        raise UsageError(
            "this cache is extended by the graph that it belongs to, not from outside",
            hint="for another model, let it make its own: past_key_values=None",
        )

    @property
    def batch_size(self) -> int:
        """B, or -1 before the first step."""
        return -1 if self._rows is None else self._rows.batch

    @property
    def is_initialized(self) -> bool:
        return self._rows is not None

    @property
    def is_compileable(self) -> bool:
        return False

    @property
    def is_croppable(self) -> bool:
        return droppable(self._layout)

    @property
    def is_sliding(self) -> list[bool]:
        return [False] * len(self)

    @property
    def is_linear(self) -> list[bool]:
        return [False] * len(self)

    @property
    def is_dummy(self) -> list[bool]:
        return [False] * len(self)

    def __len__(self) -> int:
        return self._layout.num_layers

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_size={self.batch_size}, length={self.get_seq_length()}, layers={len(self)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> OrtCache:
        twin = OrtCache(self._layout, self._device, self._context_length)
        if self._rows is not None:
            twin._rows = self._filled([array.copy() for array in self._rows.arrays()], self._rows.length)
        return twin

    # ---- rows

    def _select(self, indices: torch.Tensor) -> None:
        if self._rows is None:
            return
        wanted = indices.cpu().numpy()
        same = wanted.dtype != np.bool_ and np.array_equal(wanted, np.arange(self._rows.batch))
        if not same:  # beams often stay where they are
            self._rows = self._filled([array[wanted] for array in self._rows.arrays()], self._rows.length)

    def _empty(self, batch: int) -> BatchRows:
        if self._layout.length is not None:
            return ReservedSequences(self._layout, self._device, batch=batch)
        if batch == 1 and InPlaceCache.fits(self._layout, self._device):
            return OneSequence(self._layout, self._context_length)
        return ReturnedSequences(self._layout, self._device, batch)

    def _filled(self, arrays: list[np.ndarray], length: int) -> BatchRows:
        """``arrays``: ``[B, heads, P, width]`` each, which nobody may change afterwards; ``length``: of tokens, P."""
        rows = self._empty(len(arrays[0]))
        rows.fill(arrays, length)
        return rows
