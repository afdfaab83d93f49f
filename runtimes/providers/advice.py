"""Why an execution provider did not start, in one line, and what to install or change, in another.

The causes are read from what ONNX Runtime and the system's loader say; ``tests/runtimes/provider_messages.json`` holds such
texts. Each provider's rules are in its own file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from youtu_onnx.runtimes.providers.packages import distribution_version, installed_builds, reinstall
from youtu_onnx.runtimes.providers.providers import called_by_onnxruntime

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
PREFIXES = re.compile(
    r"^(?:.*\[ONNXRuntimeError\] : \d+ : \w+ : )?(?:/\S*\.cc:\d+ [^)]*\)(?: const)? )?"
    r"|^\d{4}-\d\d-\d\d [\d:.]+ \[[A-Z]:[^\]]*\] "
)
"""What stands before a message: time and place of a log's line, source file and function of an exception's."""


@dataclass(frozen=True)
class Advice:
    """One line of cause, one of cure."""

    cause: str
    cure: str


def advise(provider: str, said: str, *, version: Callable[[str], str | None] | None = None) -> Advice | None:
    """The cause and the cure of a provider's failure; None where neither is known.

    Args:
        provider: ONNX Runtime's name.
        said: all that was said, log lines and exceptions, colours included.
        version: of an installed distribution, None for one that isn't; the default asks pip's metadata.
    """
    installed = installed_builds(version or distribution_version)
    if len(installed) > 1:
        return Advice(f"{' and '.join(installed)} are both installed and overwrite each other's files", reinstall(installed))
    text, known = ESCAPES.sub("", said), called_by_onnxruntime(provider)
    for rule in known.rules:
        if found := re.search(rule.pattern, text):
            groups, words = ["", *(group or "" for group in found.groups())], known.words(text)
            return Advice(rule.cause.format(*groups, **words), rule.cure.format(*groups, **words))
    return None


def said_last(text: str) -> str:
    """The line that says most where no rule knows the cause: the last error of a log, without time and place."""
    lines = [ESCAPES.sub("", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    errors = [line for line in lines if "[E:" in line or "Error" in line or "Exception" in line]
    return PREFIXES.sub("", (errors or lines or [""])[-1], count=1)
