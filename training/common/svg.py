"""The frame of a picture."""

from __future__ import annotations

from collections.abc import Sequence


def framed(width: int, height: int, style: str, parts: Sequence[str]) -> str:
    """An SVG file of elements, in pixels."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<style>{style}</style>\n{chr(10).join(parts)}\n</svg>\n"
    )
