"""Sizes as people write them."""

from __future__ import annotations

import pytest

from youtu_onnx.core.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000000", 10**6),
        ("512M", 512 << 20),
        ("4GiB", 4 << 30),
        ("4 GB", 4 << 30),
        ("1.5k", 1536),
        (" 2tib ", 2 << 40),
        ("7B", 7),
        ("1", 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0.4", "0.0001K", "-1", "4 XB", "GiB", "1e6", "4GiBs", "٣", "four", "1,5K", "i"])
def test_what_is_no_size(text: str) -> None:
    assert parse_size(text) is None
