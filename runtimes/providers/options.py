"""What a user may ask of an execution provider beside its name: which device, how much of its memory, how exact.

The frozen fields are ONNX Runtime's own names. What a provider has no use for is refused, never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.providers.providers import Provider

APPLIES: Mapping[str, tuple[str, ...]] = {
    "device_id": ("cuda", "dml", "migraphx"),
    "gpu_mem_limit": ("cuda",),
    "arena_extend_strategy": ("cuda",),
    "use_tf32": ("cuda",),
    "performance_preference": ("dml",),
    "device_filter": ("dml",),
}
"""Field → the providers that know it."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "arena_extend_strategy": ("kNextPowerOfTwo", "kSameAsRequested"),
    "performance_preference": ("default", "high_performance", "minimum_power"),
    "device_filter": ("gpu", "npu", "any"),
}

KNOWN: Mapping[str, tuple[str, ...]] = {
    "dml": ("disable_metacommands",),
    "openvino": (
        "cache_dir",
        "device_luid",
        "device_type",
        "disable_dynamic_shapes",
        "enable_causallm",
        "enable_opencl_throttling",
        "enable_qdq_optimizer",
        "layout",
        "load_config",
        "model_priority",
        "num_of_threads",
        "num_streams",
        "precision",
        "reshape_input",
    ),
    "webgpu": (
        "dawnBackendType",
        "defaultBufferCacheMode",
        "enableGraphCapture",
        "enableInt64",
        "enableRobustness",
        "forceCpuNodeNames",
        "maxNumPendingDispatches",
        "maxStorageBufferBindingSize",
        "powerPreference",
        "preferredLayout",
        "preserveDevice",
        "queryResolveBufferCacheMode",
        "storageBufferCacheMode",
        "uniformBufferCacheMode",
        "validationMode",
    ),
}
"""Further options of providers that take any key in silence, or list none. The others' are what ONNX Runtime lists."""

CAPTURE: Mapping[str, str] = {"cuda": "enable_cuda_graph", "dml": "enable_graph_capture", "webgpu": "enableGraphCapture"}
"""Provider → the option that records a step's kernels and replays them."""

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class ProviderOptions:
    """Options of one provider; None leaves ONNX Runtime's default.

    Attributes:
        device_id: which of several GPUs, from 0.
        gpu_mem_limit: bytes that the provider's arena may take.
        arena_extend_strategy: how the arena grows: by powers of two, or by what is asked for.
        use_tf32: whether float32 products may round their factors to 10 bits of mantissa.
        performance_preference: which adapter DirectML takes of several.
        device_filter: which kinds of adapter it looks at.
        other: further options in ONNX Runtime's words, key and value.
    """

    device_id: int | None = None
    gpu_mem_limit: int | None = None
    arena_extend_strategy: str | None = None
    use_tf32: bool | None = None
    performance_preference: str | None = None
    device_filter: str | None = None
    other: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, object] | None) -> ProviderOptions:
        """From keys and values as people write them: ``{"device_id": 1, "gpu_mem_limit": "4GiB", "use_tf32": "0"}``.

        Raises:
            UsageError: a value that the option can't have.
        """
        known: dict[str, object] = {}
        other = []
        for key, value in (given or {}).items():
            if key in APPLIES:
                known[key] = _value(key, value)
            else:
                other.append((key, str(int(value)) if isinstance(value, bool) else str(value)))
        return cls(**known, other=tuple(other))  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.given())

    def given(self) -> dict[str, str]:
        """What is asked for, as ONNX Runtime reads it: all strings."""
        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "other"}
        written = {
            key: str(int(value)) if isinstance(value, bool) else str(value) for key, value in named.items() if value is not None
        }
        return written | dict(self.other)

    def of_provider(self, row: Provider) -> dict[str, str]:
        """:meth:`given`, once it is known to make sense on a provider.

        Raises:
            UsageError: the provider doesn't know an option, two contradict each other, or this runtime's cache forbids it.
        """
        given = self.given()
        if given and row.name == "cpu":
            raise UsageError(
                f"provider cpu takes no options, and {_listed(given)} was given",
                hint="drop them, set its threads with --threads, or choose another --provider",
            )
        for key, value in given.items():
            self._check(row, key, value)
        if row.name == "dml" and "device_id" in given and {"performance_preference", "device_filter"} & given.keys():
            raise UsageError(
                "DirectML given a device_id looks at no performance_preference or device_filter",
                hint="name the device, or what it should be like",
            )
        return given

    def _check(self, row: Provider, key: str, value: str) -> None:
        if row.name not in APPLIES.get(key, (row.name,)):
            raise UsageError(
                f"{key} is an option of provider {' or '.join(APPLIES[key])}, not of {row.name}",
                hint=f"drop it{_instead(row, key)}",
            )
        if key == CAPTURE.get(row.name) and value.lower() not in ("0", "false"):
            raise UsageError(
                f"{key} replays the kernels of one step with its shapes and addresses, but here each step's cache is a row "
                "longer than the last one's and its inputs are elsewhere: replays would give wrong tokens",
                hint=f"drop {key}",
            )
        if row.name in KNOWN and key not in APPLIES:
            refuse_unknown(row, [key], [*KNOWN[row.name], *(field for field, rows in APPLIES.items() if row.name in rows)])


def parse(pairs: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a mapping.

    Raises:
        UsageError: no ``=``, no key, or a key twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = (part.strip() for part in pair.partition("="))
        if not (key and sign and value):
            raise UsageError(f"provider option {pair!r} is not KEY=VALUE", hint="write it like this: device_id=1")
        if key in found:
            raise UsageError(f"provider option {key} is given twice", hint="drop one of the two")
        found[key] = value
    return found


def refuse_unknown(row: Provider, wanted: Iterable[str], known: Iterable[str]) -> None:
    """Make sure that a provider knows every key.

    Raises:
        UsageError: it doesn't; the message has those that it knows.
    """
    strange = sorted(set(wanted) - set(known))
    if strange:
        raise UsageError(
            f"provider {row.name} has no option {', '.join(strange)}", hint=f"it knows: {', '.join(sorted(set(known))) or 'none'}"
        )


def _instead(row: Provider, key: str) -> str:
    if row.name == "webgpu" and key in ("device_id", "performance_preference"):
        return "; WebGPU chooses its adapter by --provider-option powerPreference=high-performance or low-power"
    return ""


def _listed(given: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in given.items())


def _value(key: str, value: object) -> object:
    """A field's value of what a user wrote."""
    if value is None:
        return None
    if key in CHOICES:
        if value not in CHOICES[key]:
            raise UsageError(f"{key} can't be {value!r}", hint=f"choose one of: {', '.join(CHOICES[key])}")
        return value
    text = str(value).strip()
    if key == "use_tf32":
        if text.lower() not in ("0", "1", "true", "false"):
            raise UsageError(f"use_tf32 can't be {value!r}", hint="write 0 or 1")
        return text.lower() in ("1", "true")
    if key == "gpu_mem_limit":
        return _bytes(text)
    if not re.fullmatch(r"\d{1,4}", text):
        raise UsageError(f"{key} can't be {value!r}", hint="devices are counted from 0")
    return int(text)


def _bytes(text: str) -> int:
    """``"4GiB"``, ``"512M"`` or ``"1000000"`` in bytes; units are powers of 1024."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    size = int(float(found[1]) * UNITS[found[2].upper()]) if found else 0
    if size < 1:
        raise UsageError(f"gpu_mem_limit can't be {text!r}", hint="write bytes, or a size like 4GiB")
    return size
