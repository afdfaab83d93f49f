"""Adapters for onnxruntime-genai, which takes files in ONNX Runtime's format."""

from __future__ import annotations

import itertools
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import Bundle, names
from youtu_onnx.core.errors import AdapterError
from youtu_onnx.runtimes.adapter_store import AdapterStore
from youtu_onnx.runtimes.ort.adapter_files import read_values, write_adapter

_NUMBERS = itertools.count()


class Loaded:
    """One adapter in an ``onnxruntime_genai.Adapters``, which it leaves when nobody holds it.

    Attributes:
        owner: that it is in.
        name: there; no two have one.
    """

    def __init__(self, owner: Any, path: Path) -> None:
        self.owner, self.name = owner, f"adapter-{next(_NUMBERS)}"
        try:
            owner.load(str(path), self.name)
        except Exception as error:  # the library raises bare RuntimeErrors and Exceptions
            raise AdapterError(f"onnxruntime-genai can't read {path}: {error}", hint="make it again, for this bundle") from error
        weakref.finalize(self, _unload, owner, self.name)


def open_adapters(og: Any, model: Any, bundle: Bundle) -> AdapterStore | None:
    """None where the bundle's graph takes none."""
    if bundle.manifest.adapters is None:
        return None
    owner = og.Adapters(model)

    def read(path: Path) -> Mapping[str, Any]:
        values = read_values(bundle, path)  # checks a file, too: the library binds whatever is in it
        if path.is_file():
            return {"loaded": Loaded(owner, path)}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"adapter{names.ADAPTER_SUFFIX}"
            write_adapter(file, values)
            return {"loaded": Loaded(owner, file)}

    return AdapterStore(bundle, read)


def _unload(owner: Any, name: str) -> None:
    with suppress(Exception):  # a generator that nobody closed holds it
        owner.unload(name)
