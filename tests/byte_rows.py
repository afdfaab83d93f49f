"""Rows of the int8 latent cache by numpy alone, to hold the exported graph against.

A row is ``L + R`` bytes ``q`` around 128, and the lowest bits of the first eight, least significant first, are a byte
``e``: number ``i`` is ``(q[i] - 128) * 2 ** (e / 8 - 24)``.
"""

from __future__ import annotations

import numpy as np

CARRIERS = 8
"""Bytes of a row that carry a bit of the scale."""
FINEST, COARSEST = 2.0**-24, 2.0 ** (255 / 8 - 24)
"""Scales that bytes 0 and 255 stand for."""


def decode(rows: np.ndarray) -> np.ndarray:
    """``[…,L+R]`` bytes → as many numbers, in float64."""
    return (rows.astype(np.float64) - 128) * scales(rows)[..., None]


def scales(rows: np.ndarray) -> np.ndarray:
    """``[…,L+R]`` → ``[…]``"""
    return 2.0 ** (scale_bytes(rows) / 8 - 24)


def scale_bytes(rows: np.ndarray) -> np.ndarray:
    return np.packbits(rows[..., :CARRIERS] % 2, -1, "little")[..., 0]


def encode(numbers: np.ndarray) -> np.ndarray:
    """``[…,L+R]`` numbers → as many bytes: the smallest scale that a byte can say and that no number exceeds 127 times, and
    of the codes that say it those nearest to the numbers."""
    largest = np.abs(numbers.astype(np.float64)).max(-1, keepdims=True) / 127
    exponent = np.clip(np.ceil(8 * (np.log2(np.maximum(largest, FINEST)) + 24)), 0, 255)
    places = np.clip(numbers / 2.0 ** (exponent / 8 - 24), -127, 127) + 128
    bits = np.unpackbits(exponent.astype(np.uint8), -1, bitorder="little")  # […,8]
    away = np.abs(places[..., :CARRIERS, None] - np.arange(256))
    carriers = np.where(np.arange(256) % 2 == bits[..., None], away, np.inf).argmin(-1)
    return np.concatenate([carriers, np.floor(places[..., CARRIERS:] + 0.5)], -1).astype(np.uint8)


def with_scale(rows: np.ndarray, byte: int) -> np.ndarray:
    """The same codes, but for the lowest bits of those that say the scale."""
    made = rows.copy()
    made[..., :CARRIERS] = made[..., :CARRIERS] // 2 * 2 + np.unpackbits(np.uint8(byte), bitorder="little")
    return made
