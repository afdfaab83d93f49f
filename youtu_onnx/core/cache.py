"""Which past tensors a graph takes and returns, and what may be done with them.

The single source of truth: a model family lays its cache out, exporters build graphs from the layout, the manifest records it,
runtimes allocate from it and ask it what they may do.

A cache grows with the sequence, or is static: buffers of a reserved length that the graph writes new rows into, for providers
that want one shape from the first step to the last. B batch, P past tokens, S new tokens, T = P + S.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

CACHE_DTYPES = {"float32": 4, "float16": 2, "uint8": 1}
"""dtype → bytes of a number."""
MOST_TENSORS = 4096
"""More than any graph has: a damaged manifest must not become as many allocations."""

UNUSED = "unused"
"""Role of a tensor that is there because a runtime wants tensors in pairs, and that nothing reads."""


@dataclass(frozen=True)
class CacheTensor:
    """One past input and its present output: ``[B, heads, P, width]`` in, ``[B, heads, T, width]`` out; both are
    ``[B, heads, length, width]`` where the cache is static. ``role``: what its family calls what is in it."""

    past: str
    present: str
    heads: int
    width: int
    layer: int
    role: str


@dataclass(frozen=True)
class CacheLayout:
    """The cache of one graph.

    Attributes:
        form: what its family calls it.
        dtype: of every tensor: ``float32``, ``float16`` or ``uint8``.
        tensors: in the order of the graph's inputs: key 0, value 0, key 1, …
        length: of a static cache, the tokens that its buffers have room for; None where the cache grows.
        uniform: whether every tensor holds one row for each token. Where it doesn't, the tokens in a cache can't be read off
            its shapes.
        rewindable: whether the last tokens can be taken back by dropping their rows.
        prefix_shareable: whether the rows of a sequence's first tokens are what another sequence with those tokens would have.
    """

    form: str
    dtype: str
    tensors: tuple[CacheTensor, ...]
    length: int | None = None
    uniform: bool = True
    rewindable: bool = True
    prefix_shareable: bool = True

    @property
    def num_layers(self) -> int:
        return 1 + max(tensor.layer for tensor in self.tensors)

    def rows_by_layer(self, rows: Sequence[int]) -> tuple[int, ...] | None:
        """Rows that each layer keeps, where the tensors, in their order, have so many; None where that is one for each token."""
        if self.uniform:
            return None
        found = {tensor.layer: count for tensor, count in zip(self.tensors, rows, strict=True)}
        return tuple(found[layer] for layer in range(self.num_layers))

    @property
    def appends_in_place(self) -> bool:
        """Whether a tensor's past is, in memory, the beginning of its present: rows of one head, one behind the other."""
        return self.length is None and self.uniform and all(tensor.heads == 1 for tensor in self.tensors)

    @property
    def bytes_per_token(self) -> int:
        """Bytes that the cache grows by with each token, or at most where it isn't uniform; those of a static one are reserved
        at once, ``length`` times."""
        return sum(tensor.heads * tensor.width for tensor in self.tensors) * CACHE_DTYPES[self.dtype]

    def to_dict(self) -> dict[str, Any]:
        """JSON form, with every tensor spelled out for consumers in other languages."""
        return asdict(self) | {"bytes_per_token": self.bytes_per_token, "tensors": [asdict(t) for t in self.tensors]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> CacheLayout:
        """Read what :meth:`to_dict` wrote, or what bundles of format 1 have: there every cache is uniform and rewindable.

        Raises:
            KeyError, TypeError, ValueError: a field is missing, or can't be.
        """
        tensors = tuple(_tensor(one) for one in found["tensors"][: MOST_TENSORS + 1])
        if not tensors or len(tensors) > MOST_TENSORS:
            raise ValueError(f"a cache of {len(found['tensors'])} tensors")
        length, dtype = found.get("length"), found["dtype"]
        if length is not None and (type(length) is not int or length < 1):
            raise ValueError(f"a cache of length {length!r}")
        if dtype not in CACHE_DTYPES:
            raise ValueError(f"a cache of {dtype!r}")
        flags = {name: found.get(name, True) for name in ("uniform", "rewindable", "prefix_shareable")}
        if not all(isinstance(flag, bool) for flag in flags.values()):
            raise ValueError(f"a cache that is {flags}")
        return cls(str(found["form"]), dtype, tensors, length, **flags)


def _tensor(found: Mapping[str, Any]) -> CacheTensor:
    tensor = CacheTensor(**{field.name: found[field.name] for field in fields(CacheTensor)})
    sizes = (tensor.heads, tensor.width)
    if not all(type(size) is int and 0 < size < 2**31 for size in sizes) or type(tensor.layer) is not int or tensor.layer < 0:
        raise ValueError(f"a cache tensor of {sizes} in layer {tensor.layer!r}")
    if not all(isinstance(name, str) for name in (tensor.past, tensor.present, tensor.role)):
        raise ValueError("a cache tensor whose names are no texts")
    return tensor
