"""The library of native operators: a package of its own, ``youtu-onnx-native``, which not every machine has."""

from __future__ import annotations

import ctypes
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from youtu_onnx.core.errors import ProviderError

VARIABLE = "YOUTU_ONNX_KERNELS"
"""In the environment: ``native`` or ``onnxruntime``, where nothing else says which."""
INSTALL = 'pip install "youtu-onnx[native]"'
INTERFACE = 2
"""Of the operators' inputs and attributes; the library says which it has."""
PLAIN = "plain"
"""The instruction set of a processor that has none of the others: there ONNX Runtime's own kernels are faster."""


@dataclass(frozen=True)
class Library:
    """A library that this version of the package can use.

    Attributes:
        path: of the file, to be registered in a session's options.
        instructions: the instruction set that it uses on this processor.
        known: all that it was built with, the fastest first, and whether the processor has them.
    """

    path: Path
    instructions: str
    known: tuple[tuple[str, bool], ...]


def load() -> Library:
    """The installed library.

    Raises:
        ProviderError: it isn't installed, is of another version, or can't be loaded.
    """
    try:
        import youtu_onnx_native

        if importlib.util.find_spec("onnx") is None:  # graphs are rewritten with it
            raise ModuleNotFoundError("onnx")
    except ImportError as error:
        raise ProviderError("the native kernels aren't installed", hint=f"{INSTALL}, or choose --kernels onnxruntime") from error
    try:
        path = Path(youtu_onnx_native.library())
    except FileNotFoundError as error:
        raise ProviderError(str(error), hint=f"{INSTALL} --force-reinstall, or choose --kernels onnxruntime") from error
    try:
        opened = ctypes.CDLL(str(path))
        interface = int(opened.youtu_onnx_interface())
    except (OSError, AttributeError) as error:
        raise ProviderError(
            f"the native kernels can't be loaded from {path}: {error}",
            hint=f"install them again ({INSTALL} --force-reinstall), or choose --kernels onnxruntime",
        ) from error
    if interface != INTERFACE:
        raise ProviderError(
            f"the native kernels at {path} have interface {interface}, and this version of youtu-onnx needs {INTERFACE}",
            hint=f"{INSTALL} --upgrade, or choose --kernels onnxruntime",
        )
    opened.youtu_onnx_instructions.restype = ctypes.c_char_p
    instructions = opened.youtu_onnx_instructions().decode()
    known = _known(opened)
    if not instructions:
        raise ProviderError(
            "YOUTU_ONNX_INSTRUCTIONS names an instruction set that this processor or the native library doesn't have",
            hint=f"choose one of: {', '.join(name for name, runs in known if runs)}",
        )
    return Library(path, instructions, known)


@cache
def found() -> Library | None:
    """The library, where it is installed and usable and faster than what ONNX Runtime has; looked for once."""
    try:
        library = load()
    except ProviderError:
        return None
    return library if library.instructions != PLAIN else None


def _known(opened: ctypes.CDLL) -> tuple[tuple[str, bool], ...]:
    opened.youtu_onnx_known_instructions.restype = ctypes.c_char_p
    made: list[tuple[str, bool]] = []
    runs = ctypes.c_int()
    while name := opened.youtu_onnx_known_instructions(len(made), ctypes.byref(runs)):
        made.append((name.decode(), bool(runs.value)))
    return tuple(made)
