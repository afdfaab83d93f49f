"""Which command lines are processes that have a bundle open."""

from __future__ import annotations

import pytest

from youtu_onnx.inspect.running import asked_of


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python -m youtu_onnx.cli chat b", ("chat", ["b"])),
        ("python -m youtu_onnx --traceback serve b --port 1", ("serve", ["b", "--port", "1"])),
        ("/x/bin/youtu-onnx run youtu-nano", ("run", ["youtu-nano"])),
        ("/x/python /x/bin/youtu-onnx generate", ("generate", [])),
        ("/x/python /x/bin/youtu-onnx list", None),
        ("/x/bin/youtu-onnx", None),
        ("vim youtu_onnx chat b", None),
        ("grep -r youtu-onnx. chat", None),
        ("python -m pytest youtu-onnx-chat", None),
    ],
)
def test_command_lines(line: str, expected: tuple[str, list[str]] | None) -> None:
    assert asked_of(line.split()) == expected
