"""Sizes in bytes, as people write them."""

from __future__ import annotations

import re

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)


def parse_size(text: str) -> int | None:
    """``"4GiB"``, ``"512M"``, ``"1.5 gb"`` or ``"1000000"`` in bytes, at least 1; None: no size. Units are powers of 1024."""
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * UNITS[found[2].upper()]) if found else 0
    return size if size >= 1 else None


def decimal(size: int) -> str:
    """``1.16 GB``, ``3.1 MB``: powers of 1000, as disks and downloads are counted."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
