"""ONNX Runtime's log, which goes to stderr: what matters of it is raised, and said in our own words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import onnxruntime as ort

FATAL, WARNING = 4, 2
"""Severities of its log; it starts with the second."""


@contextlib.contextmanager
def log_from(severity: int) -> Iterator[None]:
    """Inside, only what is so severe is logged."""
    ort.set_default_logger_severity(severity)
    try:
        yield
    finally:
        ort.set_default_logger_severity(WARNING)
