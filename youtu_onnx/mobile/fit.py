"""Whether a model fits a phone: bytes computed from a bundle's manifest; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from youtu_onnx.core.bundle import Manifest, names
from youtu_onnx.core.cache import CacheLayout
from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.known import architecture_of, family_called
from youtu_onnx.families.memory import step_bytes

STEP = 32
"""New tokens of a step in the samples: too few for a CPU graph to make keys and values of the whole cache."""

LENGTHS = (1024, 4096, 8192, 16384, 32768)
RAM_GB = (4, 6, 8, 12)
SHARE = 0.5
"""Of a phone's memory, what one app may count on.

Apple documents no number. What ``os_proc_available_memory()`` tells an app has been reported by developers as a half to two
thirds of an iPhone's memory, and more with the increased-memory-limit entitlement. Android sets no limit for native memory: its
low-memory killer ends apps when the system runs short, so a half is a rule of thumb there.
"""


@dataclass(frozen=True)
class Footprint:
    """Bytes at one length: weights; the cache, twice, because a step's past and present exist at once; what a step computes."""

    cache_dtype: str
    tokens: int
    weights: int
    cache: int
    step: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.step

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"total": self.total}


@dataclass(frozen=True)
class Room:
    """A phone with ``ram`` bytes, of which an app gets ``budget``, and the longest sequence that fits it; 0: none does."""

    ram: int
    budget: int
    cache_dtype: str
    tokens: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def footprints(
    manifest: Manifest, *, weights: int | None = None, new: int = STEP, lengths: Sequence[int] = LENGTHS
) -> tuple[Footprint, ...]:
    """The model's own cache first, then the other kind that it could have been exported with, at each length it can have.

    Args:
        weights: bytes of the file that holds them; None: the bundle's data file.
        new: tokens of a step.
    """
    full = manifest.model.max_position_embeddings
    fitting = [length for length in lengths if length < full] or [full]
    return tuple(
        footprint(manifest, layout, length, weights=weights, new=new) for layout in layouts(manifest) for length in fitting
    )


def footprint(manifest: Manifest, layout: CacheLayout, tokens: int, *, weights: int | None = None, new: int = STEP) -> Footprint:
    """Bytes when the cache of this layout comes to ``tokens`` in a step of ``new`` of them."""
    size = manifest.files[names.MODEL_DATA].size if weights is None else weights
    step = step_bytes(manifest, tokens=tokens, new=new, logits=new)  # the samples ask for every position's
    return Footprint(layout.dtype, tokens, size, 2 * tokens * layout.bytes_per_token, step)


def rooms(
    manifest: Manifest, *, weights: int | None = None, new: int = STEP, ram_gb: Sequence[float] = RAM_GB, share: float = SHARE
) -> tuple[Room, ...]:
    """For each size of phone and kind of cache, the longest sequence whose footprint stays within the app's share.

    Raises:
        UsageError: a share that is no part of the memory.
    """
    if not 0 < share <= 1:
        raise UsageError(f"an app's share of the memory is {share}; expected more than 0 and at most 1")
    found = []
    for gigabytes in ram_gb:
        ram = int(gigabytes * 1e9)
        for layout in layouts(manifest):
            found.append(
                Room(ram, int(share * ram), layout.dtype, _longest(manifest, layout, int(share * ram), weights=weights, new=new))
            )
    return tuple(found)


def layouts(manifest: Manifest) -> tuple[CacheLayout, ...]:
    """The bundle's own cache, and those of its form and other dtypes that it could have been exported with."""
    family, own = family_called(manifest.model.family), manifest.cache
    if not manifest.recipe.quantized:
        return (own,)
    architecture, floats = architecture_of(manifest.model), manifest.graph.float_dtype
    others = [family.cache_layout(architecture, form, floats, None) for form in family.cache_forms]
    return (own, *(other for other in others if other.form == own.form and other.dtype != own.dtype))


def _longest(manifest: Manifest, layout: CacheLayout, budget: int, *, weights: int | None, new: int) -> int:
    """By bisection: a footprint grows with the tokens."""
    fits, too_many = 0, manifest.model.max_position_embeddings + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        inside = footprint(manifest, layout, middle, weights=weights, new=min(new, middle)).total <= budget
        fits, too_many = (middle, too_many) if inside else (fits, middle)
    return fits
