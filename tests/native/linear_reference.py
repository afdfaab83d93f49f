"""``Linear`` in float64, as its header says it, and how far a kernel may be from it.

Sums of products of codes are integers, which have no error. What may differ: float32 sums of as many terms as a row has blocks,
and a code of an activation that lies between two, which a float32 product or norm may bring to either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.native.sessions import model

INPUTS = ("x", "codes", "scales", "zero_points", "bias", "gain", "residual", "slots")
ULP = 2.0**-24
"""Of float32: how far a rounded number is from the number, relative to it."""
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Linear:
    """A matrix ``[N, K]`` by blocks, and what stands around the product.

    Attributes:
        quantized: codes before they are packed ``[N, blocks · block_size]``.
        scales: ``[N, blocks]``.
        zeros: ``[N, blocks]``, None: the middle.
        residual, slots: whether they are inputs.
        offset: columns of x before the first that counts; as many follow behind the last.
    """

    columns: int
    bits: int
    block: int
    quantized: Array
    scales: Array
    zeros: Array | None = None
    bias: Array | None = None
    gain: Array | None = None
    residual: bool = False
    slots: bool = False
    gated: bool = False
    offset: int = 0
    epsilon: float = 1e-6

    @property
    def rows(self) -> int:
        return len(self.scales)

    @property
    def width(self) -> int:
        """Columns of y."""
        return self.rows // 2 if self.gated else self.rows

    def model(self, rank: int = 2) -> bytes:
        """Over x of a rank."""
        zeros = None if self.zeros is None else pack(self.zeros, self.bits)
        size = self.block * self.bits // 8
        return model(
            "Linear",
            INPUTS,
            {"y": np.float32},
            {
                "codes": pack(self.quantized, self.bits).reshape(self.rows, -1, size),
                "scales": self.scales.reshape(-1),
                "zero_points": None if zeros is None else zeros.reshape(-1),
                "bias": self.bias,
                "gain": self.gain,
            },
            {"x": (np.float32, rank)}
            | ({"residual": (np.float32, rank)} if self.residual else {})
            | ({"slots": (np.int64, 2)} if self.slots else {}),
            {
                "K": self.columns,
                "N": self.rows,
                "bits": self.bits,
                "block_size": self.block,
                "offset": self.offset,
                "gated": int(self.gated),
                "epsilon": self.epsilon,
            },
        )

    def expected(self, x: Array, residual: Array | None = None) -> tuple[Array, Array]:
        """``[M, W]`` → y ``[M, width]`` in float64, and how far a kernel's y may be from it."""
        y, error = self._product(x[:, self.offset : self.offset + self.columns])
        if self.bias is not None:
            y = y + self.bias
            error = error + np.abs(y) * ULP
        if self.gated:
            gate, up = np.split(y, 2, -1)
            gate_error, up_error = np.split(error, 2, -1)
            silu = gate / (1 + np.exp(np.minimum(-gate, 700)))
            y = silu * up
            # SiLU's slope is 1.1 at most; e^x has 2^-22, and the rest of float32's operations as much again.
            error = 1.1 * gate_error * (np.abs(up) + up_error) + np.abs(silu) * up_error + 16 * ULP * np.abs(y) + 1e-36
        if residual is not None:
            y = y + residual
            error = error + np.abs(y) * ULP
        return y, error

    def _product(self, x: Array) -> tuple[Array, Array]:
        """All blocks of a row at once: x ``[M, G, block]``, codes ``[N, G, block]``."""
        count, groups = len(x), self.scales.shape[1]
        uncertain = 4 * ULP
        if self.gain is not None:
            x = x * self.gain / np.sqrt(np.mean(x.astype(np.float64) ** 2, -1, keepdims=True) + self.epsilon)
            uncertain = (8 + np.sqrt(self.columns)) * ULP
        blocks = np.zeros((count, groups * self.block))
        blocks[:, : self.columns] = x
        blocks = blocks.reshape(count, groups, self.block)
        most = np.abs(blocks).max(-1)  # [M, G]
        places = np.divide(blocks * 127, most[..., None], out=np.zeros_like(blocks), where=most[..., None] > 0)
        codes = np.rint(places)
        between = np.abs(np.abs(places - np.floor(places)) - 0.5) <= uncertain * 127
        codes_of = self.quantized.reshape(self.rows, groups, self.block).astype(np.float64)
        zeros = np.full(self.scales.shape, 2.0 ** (self.bits - 1)) if self.zeros is None else self.zeros.astype(np.float64)
        weights = (codes_of - zeros[..., None]) * self.scales[..., None]  # [N, G, block]
        steps = most / 127
        y = np.einsum("mgk,ngk->mn", codes * steps[..., None], weights)
        flipped = np.einsum("mgk,ngk->mn", between * steps[..., None], np.abs(weights))
        # The two terms of a block: codes by codes, and what the zero point takes off; some kernels take 128 off a byte first.
        dots = np.abs(np.einsum("mgk,ngk->mgn", codes, codes_of)) + np.abs(codes.sum(-1))[..., None] * (zeros.T + 128)
        sizes = np.einsum("mgn,mg,ng->mn", dots, steps, np.abs(self.scales.astype(np.float64)))
        return y, flipped + sizes * (groups + 16) * ULP + np.abs(y) * uncertain


def pack(codes: Array, bits: int) -> Array:
    """Codes in rows → bytes; with four bits two to a byte, the first one low."""
    if bits == 8:
        return codes.astype(np.uint8)
    even = np.concatenate([codes, np.zeros((len(codes), codes.shape[1] % 2))], 1).astype(np.uint8)
    return even[:, 0::2] | even[:, 1::2] << 4


def some_matrix(rows: int, columns: int, bits: int, block: int, zeros: bool = False, seed: int = 0) -> Linear:
    """Random, with columns behind the last that must not count."""
    generator = np.random.default_rng(seed)
    groups = -(-columns // block)
    return Linear(
        columns,
        bits,
        block,
        generator.integers(0, 2**bits, (rows, groups * block), np.uint8),
        generator.uniform(-1, 1, (rows, groups)).astype(np.float32),
        generator.integers(0, 2**bits, (rows, groups), np.uint8) if zeros else None,
    )


def with_all(linear: Linear, seed: int = 0, **chosen: Any) -> Linear:
    """With a bias and a gain of its own, and what is chosen."""
    generator = np.random.default_rng(seed)
    bias, gain = generator.standard_normal(linear.rows), generator.uniform(0.5, 1.5, linear.columns)
    return replace(linear, **{"bias": bias.astype(np.float32), "gain": gain.astype(np.float32)} | chosen)
