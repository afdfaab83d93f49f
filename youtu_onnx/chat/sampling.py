"""How the next token is chosen: the field's usual knobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from youtu_onnx.core.errors import UsageError
from youtu_onnx.core.generation_config import GenerationConfig, is_number, is_whole


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. Names and order of the steps are transformers'.

    Attributes:
        temperature: divides the logits; 0 is the same as ``greedy``.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the fewest tokens that together have this probability; 1 keeps all.
        min_p: of what top_k and top_p leave, keep tokens with this part of the likeliest one's probability; 0 keeps all.
        seed: of the random numbers; None takes fresh ones.
        greedy: take the likeliest token.
        repetition_penalty: divides the logits of tokens that are in the prompt or reply already (multiplies negative
            ones), after Keskar et al. 2019; 1 does nothing.
        presence_penalty: taken from the logits of tokens that are in the reply already, as OpenAI's API defines it; 0: nothing.
        frequency_penalty: the same, times how often they are there.
        logit_bias: added to the logits of single tokens. A mapping, kept as pairs in order of the ids.

    Raises:
        UsageError: a number that can't be.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    greedy: bool = False
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] | tuple[tuple[int, float], ...] = ()
    min_p: float = 0.0

    def __post_init__(self) -> None:
        _require(is_number(self.temperature) and self.temperature >= 0, "temperature", self.temperature, "a number from 0")
        _require(is_whole(self.top_k) and self.top_k >= 0, "top_k", self.top_k, "a whole number from 0 (0 keeps all tokens)")
        _require(is_number(self.top_p) and 0 < self.top_p <= 1, "top_p", self.top_p, "a number above 0, up to 1")
        _require(is_number(self.min_p) and 0 <= self.min_p <= 1, "min_p", self.min_p, "a number from 0 to 1")
        _require(self.seed is None or (is_whole(self.seed) and self.seed >= 0), "seed", self.seed, "a whole number from 0")
        _require(isinstance(self.greedy, bool), "greedy", self.greedy, "true or false")
        _require(
            is_number(self.repetition_penalty) and self.repetition_penalty > 0,
            "repetition_penalty",
            self.repetition_penalty,
            "a number above 0",
        )
        for name in ("presence_penalty", "frequency_penalty"):
            _require(is_number(getattr(self, name)), name, getattr(self, name), "a number")
        pairs = self.biases
        _require(
            all(is_whole(id_) and id_ >= 0 and is_number(bias) for id_, bias in pairs),
            "logit_bias",
            self.logit_bias,
            "numbers by token id",
        )
        object.__setattr__(self, "logit_bias", tuple(sorted(dict(pairs).items())))

    @property
    def biases(self) -> tuple[tuple[int, float], ...]:
        """``logit_bias`` as pairs."""
        return tuple(self.logit_bias.items()) if isinstance(self.logit_bias, Mapping) else self.logit_bias

    @property
    def deterministic(self) -> bool:
        return self.greedy or self.temperature == 0

    @property
    def effective_temperature(self) -> float:
        """0 where the likeliest token is taken, whatever ``temperature`` is."""
        return 0.0 if self.deterministic else self.temperature

    @classmethod
    def from_generation_config(cls, config: Mapping[str, Any]) -> Sampling:
        """The defaults that a bundle's ``generation_config.json`` sets; without ``do_sample`` that is greedy.

        Raises:
            BundleError: the file holds what can't be.
        """
        read = GenerationConfig.of_bundle(config)
        return cls(
            temperature=read.temperature,
            top_k=read.top_k,
            top_p=read.top_p,
            repetition_penalty=read.repetition_penalty,
            greedy=not read.do_sample,
        )

    def override(
        self,
        *,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        greedy: bool | None = None,
    ) -> Sampling:
        """A copy with what the caller chose. Choosing a temperature, top_k or top_p means to sample.

        Raises:
            UsageError: a number that can't be, or greedy together with what only sampling uses.
        """
        chosen: dict[str, Any] = {
            name: value
            for name, value in (("temperature", temperature), ("top_k", top_k), ("top_p", top_p), ("seed", seed))
            if value is not None
        }
        if greedy and chosen and temperature != 0:
            raise UsageError(f"greedy decoding has no use for {', '.join(chosen)}", hint="drop greedy, or what it has no use for")
        if greedy is None and any(name in chosen for name in ("temperature", "top_k", "top_p")):
            greedy = False
        return replace(self, **chosen, greedy=self.greedy if greedy is None else greedy)


def _require(condition: bool, name: str, value: Any, expected: str) -> None:
    if not condition:
        raise UsageError(f"{name} is {value!r}; expected {expected}")
