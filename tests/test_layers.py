"""No module of ours is imported inside a function: what a module needs of others stands at its top, where everybody looks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("youtu_onnx", "exporters", "runtimes")


def late_imports(source: str) -> Iterator[int]:
    """Lines of imports of ours inside functions."""
    for outer in ast.walk(ast.parse(source)):
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(outer):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = ["youtu_onnx" if node.level else node.module or ""]
                if any(name.partition(".")[0] == "youtu_onnx" for name in names):
                    yield node.lineno


def test_modules_of_ours_are_imported_at_the_top() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in late_imports(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_what_counts_as_one() -> None:
    source = """
import youtu_onnx.core
def outer():
    import torch
    def inner():
        from youtu_onnx.core import machine
class One:
    def method(self):
        import youtu_onnx.chat.model
        from .x import y
"""
    assert sorted(set(late_imports(source))) == [6, 9, 10]
