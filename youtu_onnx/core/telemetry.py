"""ONNX Runtime and onnxruntime-genai report what they run to their maker, unless they are told not to before they begin.

Official builds do so since 1.29 on Linux and macOS, and on Windows since long before: names and producers of models, hashes of
graphs and weights, the words of errors, and an identifier of the machine that they keep in its cache folder. Whoever runs a model
on a machine of their own expects nothing of the kind, so here nothing is sent unless a user asks for it: with
``ORT_DISABLE_TELEMETRY=0``.
"""

from __future__ import annotations

import os
from typing import Any

VARIABLE = "ORT_DISABLE_TELEMETRY"
OLDER = "ORT_TELEMETRY_DISABLED"
"""What 1.29 read."""


def keep_quiet() -> None:
    """Say no for this process and those that it starts, where the user has said nothing. Before onnxruntime is imported: it
    looks once."""
    for name in (VARIABLE, OLDER):
        os.environ.setdefault(name, os.environ.get(VARIABLE, "1"))


def silence(onnxruntime: Any) -> None:
    """The same by the library's own switch, which is the one that Windows has."""
    if os.environ.get(VARIABLE) != "0":
        onnxruntime.disable_telemetry_events()
