"""RoPE's part of a ``config.json``: what stands where, and what can't be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from youtu_onnx.families.config_fields import ConfigFields
from youtu_onnx.families.youtu.rope import ROPE_FIELDS, Rope


def read_rope(fields: ConfigFields, max_position_embeddings: int, rotated: int | None) -> Rope:
    """New configs nest everything in ``rope_parameters``; old ones have ``rope_theta`` and ``rope_scaling``.

    What stands in several places is taken from where transformers takes it: ``rope_scaling`` before ``rope_parameters``,
    ``rope_theta`` inside them before the one beside them, ``original_max_position_embeddings`` beside them before the one inside.

    Args:
        rotated: dimensions, ``qk_rope_head_dim``; None where that can't be read.
    """
    config = fields.config
    where = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    given = config.get(where) or {}
    if not isinstance(given, Mapping):
        fields.fault(where, given, "an object")
        return Rope()
    by_layer = [name for name, value in given.items() if isinstance(value, Mapping)]
    if by_layer:
        fields.faults.append(f"{where} has an object for {', '.join(by_layer)}; expected one set of numbers for all layers")
        return Rope()
    return _Reading(fields, given, where, max_position_embeddings, rotated).rope()


class _Reading:
    """One object's fields; ``where`` is its name in the file."""

    def __init__(self, fields: ConfigFields, given: Mapping[str, Any], where: str, longest: int, rotated: int | None) -> None:
        self.fields, self.given, self.where, self.longest, self.rotated = fields, given, where, longest, rotated

    def rope(self) -> Rope:
        spelling = "type" if "type" in self.given and "rope_type" not in self.given else "rope_type"
        kind = self.given.get(spelling, "default")
        if not isinstance(kind, str) or kind not in ROPE_FIELDS:
            self.fault(spelling, kind, f"one of {', '.join(ROPE_FIELDS)}")
            kind = "default"
        beside = self.fields.config.get("rope_theta", 10000.0)
        theta = self.fields.positive("rope_theta", self.given.get("rope_theta", beside))
        if kind == "default":
            return Rope(rope_theta=theta)
        if kind == "dynamic" and self.rotated == 2:
            self.fault(spelling, kind, "another, since qk_rope_head_dim is 2")
        if kind == "yarn" and theta == 1:
            self.fault("rope_theta", theta, "another number for rope_type yarn, which divides by its logarithm")
        trained = self.trained(kind)
        return Rope(
            rope_type=kind,
            rope_theta=theta,
            factor=self.factor(kind, trained),
            original_max_position_embeddings=trained,
            attention_factor=self.optional("attention_factor") if kind in ("yarn", "longrope") else None,
            mscale_all_dim=self.unless_zero("mscale_all_dim"),
            **self.of_kind(kind),
        )

    def of_kind(self, kind: str) -> dict[str, Any]:
        """What one type alone reads."""
        if kind == "yarn":
            return {
                "beta_fast": self.number("beta_fast", self.given.get("beta_fast") or 32.0),
                "beta_slow": self.number("beta_slow", self.given.get("beta_slow") or 1.0),
                "mscale": self.unless_zero("mscale"),
                "truncate": bool(self.given.get("truncate", True)),
            }
        if kind == "llama3":
            low, high = (self.number(name, self.given.get(name)) for name in ("low_freq_factor", "high_freq_factor"))
            if low == high:
                self.fault("high_freq_factor", high, "another number than low_freq_factor")
            return {"low_freq_factor": low, "high_freq_factor": high}
        if kind == "longrope":
            return {name: self.numbers(name) for name in ("short_factor", "long_factor")}
        return {}

    def trained(self, kind: str) -> int | None:
        """The length of the sequences that the model was trained on."""
        if kind == "linear":
            return None
        if kind == "dynamic":  # the field is for the other types
            return self.longest
        name = "original_max_position_embeddings"
        found = self.fields.config.get(name, self.given.get(name, self.longest))
        if type(found) is not int or not 0 < found < 2**31:
            self.fault(name, found, "a positive whole number")
            return self.longest
        if kind == "longrope" and found == 1:
            self.fault(name, found, "at least 2 for rope_type longrope, which divides by its logarithm")
        return found

    def factor(self, kind: str, trained: int | None) -> float:
        """Where it may be left out, it is the ratio of the two lengths."""
        found = self.given.get("factor")
        may_be_absent = kind == "longrope" or (kind == "yarn" and "factor" in self.given)
        if found is None and may_be_absent and trained:
            if self.given.get("mscale_all_dim"):
                self.fault("factor", found, "a positive number, since mscale_all_dim is given")
            return self.longest / trained
        return self.number("factor", found)

    def numbers(self, name: str) -> tuple[float, ...]:
        """A divisor for each rotated pair."""
        found = self.given.get(name)
        if self.rotated is None:  # which is told already
            return ()
        pairs = self.rotated // 2
        if not isinstance(found, list) or len(found) != pairs:
            self.fault(name, found, f"a list of {pairs} numbers, one for each pair of qk_rope_head_dim {self.rotated}")
            return (1.0,) * pairs
        return tuple(self.number(f"{name}[{place}]", one) for place, one in enumerate(found))

    def number(self, name: str, value: Any) -> float:
        return self.fields.positive(f"{self.where}.{name}", value)

    def optional(self, name: str) -> float | None:
        return None if self.given.get(name) is None else self.number(name, self.given[name])

    def unless_zero(self, name: str) -> float | None:
        """A zero turns it off, as its absence does."""
        return self.optional(name) if self.given.get(name) else None

    def fault(self, name: str, value: Any, expected: str) -> None:
        self.fields.fault(f"{self.where}.{name}", value, expected)
