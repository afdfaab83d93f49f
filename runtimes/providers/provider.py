"""What an execution provider is: all that this project knows of one is in its file beside this one, as a :class:`Provider`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

from youtu_onnx.runtimes.providers.option import Option


@dataclass(frozen=True)
class FailureRule:
    """How to tell from what was said why a provider did not start.

    Attributes:
        pattern: a regular expression, searched for.
        cause: one line; may use the pattern's groups by number, and the provider's :attr:`Provider.words`.
        cure: one line, what to install or change; may use the same.
    """

    pattern: str
    cause: str
    cure: str


@dataclass(frozen=True)
class OnGenai:
    """What onnxruntime-genai calls a provider on which it can continue a sequence.

    Attributes:
        name: as its configuration has it; None for the CPU, which it takes where none is named.
        has: its function that tells whether it was built with the provider; None: it always is.
    """

    name: str | None = None
    has: str | None = None


def _no_words(said: str) -> Mapping[str, str]:
    return {}


def _no_contradiction(given: Mapping[str, str]) -> None:
    pass


def _no_sign() -> str | None:
    return None


@dataclass(frozen=True)
class Provider:
    """One execution provider.

    Attributes:
        name: what this project calls it, as in ``--provider cuda``.
        ort: ONNX Runtime's name.
        distribution: what pip installs to have it; None where no wheel does.
        extras: of the distribution, which bring the libraries that it needs.
        aliases: other spellings that are understood.
        builds: distributions that bring the module ``onnxruntime`` with it; two of them overwrite each other's files.
        plugin: the module of a distribution that is installed beside any build, and brings it as a library of its own.
        device: where its tensors live from one step to the next, in ONNX Runtime's words; ``cpu``: in the host's memory.
        prepare: called with the module ``onnxruntime`` before a session is made on it.
        options: those whose values are checked here.
        other_options: further ones that it is known to have, where it takes any key in silence or lists none; None: those that
            ONNX Runtime lists.
        capture: the option that records a step's kernels and replays them.
        instead: options of other providers → what to add to the advice to drop them.
        check_options: raises UsageError where options, all of them known, contradict each other.
        rules: why it may not start, the first that fits.
        words: of what was said, further words that the rules' texts use.
        sign: what shows that this machine could have it where its ONNX Runtime has not; None: nothing does.
        genai: how onnxruntime-genai has it; None: it can't continue a sequence there.
    """

    name: str
    ort: str
    distribution: str | None
    extras: str = ""
    aliases: tuple[str, ...] = ()
    builds: tuple[str, ...] = ()
    plugin: str | None = None
    device: str = "cpu"
    prepare: Callable[[ModuleType], None] | None = None
    options: tuple[Option, ...] = ()
    other_options: tuple[str, ...] | None = None
    capture: str | None = None
    instead: tuple[tuple[str, str], ...] = ()
    check_options: Callable[[Mapping[str, str]], None] = _no_contradiction
    rules: tuple[FailureRule, ...] = ()
    words: Callable[[str], Mapping[str, str]] = _no_words
    sign: Callable[[], str | None] = _no_sign
    genai: OnGenai | None = None

    @property
    def package(self) -> str | None:
        """The distribution as a shell takes it, extras included."""
        return f"'{self.distribution}[{self.extras}]'" if self.extras else self.distribution

    @property
    def install_command(self) -> str | None:
        """What to type. All builds of ONNX Runtime share one folder, so the CPU's must go before another comes."""
        if self.plugin or self.package in (None, "onnxruntime"):
            return self.package and f"pip install {self.package}"
        return f"pip uninstall -y onnxruntime && pip install {self.package}"

    @property
    def repair_command(self) -> str:
        """What to type where it is installed and doesn't work, and nothing more is known."""
        return f"pip install --force-reinstall --no-deps {self.distribution or 'onnxruntime'}"

    def has_option(self, name: str) -> bool:
        """Whether it is one of :attr:`options`."""
        return any(option.name == name for option in self.options)
