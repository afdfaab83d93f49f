"""What fits which phone, as two tables of text: memory by length, and the longest sequence by phone."""

from __future__ import annotations

from collections.abc import Sequence

from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.mobile.fit import STEP, Footprint, Room

FORMS = {"uint8": "latent-int8", "float16": "latent-fp16"}
"""What to export with for a cache of a dtype; ``latent`` for the graph's own floats."""


def tables(cache: CacheLayout, sizes: Sequence[Footprint], fits: Sequence[Room], share: float) -> list[str]:
    """Lines, with a column for each kind of cache.

    Args:
        cache: the bundle's own.
        share: of a phone's memory that one app may use.
    """
    kinds = list(dict.fromkeys(one.cache_dtype for one in fits))
    head = "".join(f"{f'{kind} cache':>18}" for kind in kinds)
    lines = [f"{'memory':<10}{'tokens':>10}{head}   (weights, cache twice, a step of {STEP} tokens)"]
    for tokens in dict.fromkeys(one.tokens for one in sizes):
        cells = [next(one.total for one in sizes if (one.tokens, one.cache_dtype) == (tokens, kind)) for kind in kinds]
        lines.append(f"{'':<10}{tokens:>10,}" + "".join(f"{cell / 1e9:>15.2f} GB" for cell in cells))
    lines.append(f"{'fits':<10}{'phone':>10}{head}   (tokens in {share:.0%} of its memory)")
    for ram in dict.fromkeys(one.ram for one in fits):
        cells = [next(one.tokens for one in fits if (one.ram, one.cache_dtype) == (ram, kind)) for kind in kinds]
        lines.append(f"{'':<10}{ram / 1e9:>7.0f} GB" + "".join(f"{f'{cell:,}' if cell else 'no':>18}" for cell in cells))
    others = [FORMS.get(kind, "latent") for kind in kinds if kind != cache.dtype]
    if others:
        lines.append(f"{'':<10}this bundle's cache is {cache.dtype}; export with --cache {' or '.join(others)} for another")
    return lines
