"""The table of a bundle's adapters, whichever runtime reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.families.adapters.choice import check_name
from youtu_onnx.families.adapters.inputs import refuse_without_inputs
from youtu_onnx.runtimes.adapters import ActiveAdapter, UnknownAdapter

Read = Callable[[Path], Mapping[str, Any]]


class AdapterStore:
    """Implements :class:`youtu_onnx.runtimes.adapters.Adapters`. ``read`` makes of a folder or a file what the runtime takes."""

    def __init__(self, bundle: Bundle, read: Read) -> None:
        refuse_without_inputs(bundle)
        self._read = read
        self._lock = threading.Lock()
        self._known: dict[str, Path | ActiveAdapter] = {one.name: bundle.file(one.file) for one in bundle.manifest.adapters or ()}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._known))

    def load(self, name: str, path: str | Path) -> None:
        check_name(name)
        made = ActiveAdapter(name, self._read(Path(path).expanduser()))
        with self._lock:
            self._retire(name)
            self._known[name] = made

    def unload(self, name: str) -> None:
        with self._lock:
            if name not in self._known:
                raise UnknownAdapter(name, self.names)
            self._retire(name)
            del self._known[name]

    def _retire(self, name: str) -> None:
        known = self._known.get(name)
        if isinstance(known, ActiveAdapter):
            known.retired = True

    def active(self, name: str) -> ActiveAdapter:
        with self._lock:
            found = self._known.get(name)
            if found is None:
                raise UnknownAdapter(name, self.names)
            if isinstance(found, Path):
                found = self._known[name] = ActiveAdapter(name, self._read(found))
            return found
