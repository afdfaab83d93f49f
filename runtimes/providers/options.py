"""What a user may ask of an execution provider beside its name: which device, how much of its memory, how exact.

Names are ONNX Runtime's own. What a provider has no use for is refused, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from youtu_onnx.core.errors import UsageError
from youtu_onnx.runtimes.providers.option import KERNELS, Option, Value
from youtu_onnx.runtimes.providers.provider import Provider
from youtu_onnx.runtimes.providers.providers import PROVIDERS

OPTIONS: Mapping[str, Option] = {option.name: option for one in PROVIDERS for option in one.options}
"""All whose values are checked before they come to a provider."""

APPLIES: Mapping[str, tuple[str, ...]] = {name: tuple(one.name for one in PROVIDERS if one.has_option(name)) for name in OPTIONS}
"""Option → the providers that have it."""


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
        kernels: of the CPU, ``native`` or ``onnxruntime``; None: native ones where they are installed. See ``runtimes/native/``.
        other: further options in ONNX Runtime's words, key and value.
    """

    device_id: int | None = None
    gpu_mem_limit: int | None = None
    arena_extend_strategy: str | None = None
    use_tf32: bool | None = None
    performance_preference: str | None = None
    device_filter: str | None = None
    kernels: str | None = None
    other: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, object] | None) -> ProviderOptions:
        """From keys and values as people write them: ``{"device_id": 1, "gpu_mem_limit": "4GiB", "use_tf32": "0"}``.

        Raises:
            UsageError: a value that the option can't have.
        """
        named = {field.name for field in fields(cls)}
        known: dict[str, Value] = {}
        other = []
        for key, value in (given or {}).items():
            read = OPTIONS[key].read(key, value) if key in OPTIONS and value is not None else None
            if key in OPTIONS and read is None:
                continue
            if read is not None and key in named:
                known[key] = read
            else:
                other.append((key, _written(value if read is None else read)))
        return cls(**known, other=tuple(other))  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.given())

    def given(self) -> dict[str, str]:
        """What is asked for, as ONNX Runtime reads it: all strings."""
        named = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "other"}
        return {key: _written(value) for key, value in named.items() if value is not None} | dict(self.other)

    def of_provider(self, provider: Provider) -> dict[str, str]:
        """:meth:`given`, once it is known to make sense on a provider, without what is not ONNX Runtime's.

        Raises:
            UsageError: the provider doesn't know an option, two contradict each other, or this runtime's cache forbids it.
        """
        given = self.given()
        for key, value in given.items():
            _check(provider, key, value)
        provider.check_options(given)
        given.pop(KERNELS.name, None)
        return given


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


def refuse_unknown(provider: Provider, wanted: Iterable[str], known: Iterable[str]) -> None:
    """Make sure that a provider knows every key.

    Raises:
        UsageError: it doesn't; the message has those that it knows.
    """
    strange = sorted(set(wanted) - set(known))
    if strange:
        raise UsageError(
            f"provider {provider.name} has no option {', '.join(strange)}",
            hint=f"it knows: {', '.join(sorted(set(known))) or 'none'}",
        )


def _check(provider: Provider, key: str, value: str) -> None:
    if provider.name not in APPLIES.get(key, (provider.name,)):
        raise UsageError(
            f"{key} is an option of provider {' or '.join(APPLIES[key])}, not of {provider.name}",
            hint=f"drop it{dict(provider.instead).get(key, '')}",
        )
    if key == provider.capture and value.lower() not in ("0", "false"):
        raise UsageError(
            f"{key} replays the kernels of one step with its shapes and addresses, but here each step's cache is a row "
            "longer than the last one's and its inputs are elsewhere: replays would give wrong tokens",
            hint=f"drop {key}",
        )
    if provider.other_options is not None and key not in OPTIONS:
        refuse_unknown(provider, [key], [*provider.other_options, *(option.name for option in provider.options)])


def _written(value: object) -> str:
    """A value as ONNX Runtime reads it."""
    return str(int(value)) if isinstance(value, bool) else str(value)
