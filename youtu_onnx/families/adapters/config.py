"""``adapter_config.json``: what PEFT says of a LoRA, checked field by field.

Only what changes the model's numbers is read. A field that would change them in a way that isn't built is refused by its name,
and so is one that this version doesn't know, unless it is empty.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from youtu_onnx.core.checkpoint_names import ADAPTER
from youtu_onnx.core.errors import AdapterError, listed

INERT = frozenset(
    (
        "task_type",
        "peft_type",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "target_modules",
        "exclude_modules",
        "lora_dropout",
        "fan_in_fan_out",
        "bias",
        "modules_to_save",
        "layers_to_transform",
        "layers_pattern",
        "megatron_core",
        "loftq_config",
        "eva_config",
        "corda_config",
        "lora_ga_config",
        "qalora_group_size",
        "runtime_config",
    )
)
"""Fields that say how it was trained, or what its tensors' names say again. ``fan_in_fan_out`` is about layers that store their
weight transposed; PEFT itself reads it as false for ``nn.Linear``, and a Youtu model has no other."""
READ = frozenset(
    ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "use_dora", "init_lora_weights", "ensure_weight_tying")
)
MEANINGS = {
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "alora_invocation_tokens": "an activated LoRA, which works from certain tokens on",
    "layer_replication": "layers that are repeated",
    "target_parameters": "LoRA on parameters that are no layer's weight",
    "trainable_token_indices": "single trained tokens",
    "lora_bias": "a bias on lora_B",
    "arrow_config": "routing between adapters",
}
"""Fields that would make another model, and what they mean."""
CHANGING_INITS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of ``init_lora_weights`` that changed the base model's own weights before training."""
TASKS = (None, "CAUSAL_LM")
MERGE_YOURSELF = "merge it with PEFT itself, and export the result: model.merge_and_unload().save_pretrained(NEW_FOLDER)"
MOST_PATTERNS = 4096
LONGEST_PATTERN, MOST_REPEATS = 200, 4
"""Of a regular expression from a file that nobody vouches for: so short that matching it against a name takes no time."""
_REPEAT = re.compile(r"[*+?{]")
_REPEATED_GROUP = re.compile(r"\)[*+{]")


@dataclass(frozen=True)
class AdapterConfig:
    """Attributes:
    rank, alpha: where no pattern says otherwise.
    ranks, alphas: regular expressions on the end of a module's name → number; the first that fits holds.
    rslora: the scale is ``alpha / sqrt(rank)`` and not ``alpha / rank``.
    dora: rows have a magnitude of their own.
    tied: what is trained of the embedding is trained of a head that is tied to it, too.
    saved: ends of names of modules that were trained whole.
    base: what it says it was trained on; None: nothing.
    """

    rank: int
    alpha: float
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    rslora: bool
    dora: bool
    tied: bool
    saved: tuple[str, ...]
    base: str | None

    def rank_of(self, module: str) -> int:
        return self.ranks.get(_pattern(self.ranks, module) or "", self.rank)

    def saves(self, module: str) -> bool:
        """Whether a module was trained whole, as one of its own."""
        return any(module == one or module.endswith(f".{one}") for one in self.saved)

    def scale_of(self, module: str) -> float:
        """What a module's ``B·A`` is multiplied with."""
        rank, alpha = self.rank_of(module), self.alphas.get(_pattern(self.alphas, module) or "", self.alpha)
        return alpha / (math.sqrt(rank) if self.rslora else rank)

    @classmethod
    def read(cls, folder: Path) -> AdapterConfig:
        """
        Raises:
            AdapterError: there is none, it is of another kind than LoRA, or has fields that aren't built; all are named.
        """
        path = folder / ADAPTER
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise AdapterError(
                f"{folder} has no {ADAPTER}",
                hint="name the folder that PEFT's save_pretrained wrote, with adapter_model.safetensors",
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise AdapterError(f"{path} can't be read as JSON ({error})", hint="copy the adapter again") from error
        if not isinstance(fields, dict):
            raise AdapterError(f"{path} holds a JSON {type(fields).__name__}; expected an object", hint="copy the adapter again")
        kind = fields.get("peft_type")
        if kind != "LORA":
            raise AdapterError(f"{path} is of an adapter of the kind {kind!r}; LORA is what is built here", hint=MERGE_YOURSELF)
        faults = [*_unbuilt(fields), *_wrong_numbers(fields)]
        if faults:
            raise AdapterError(listed(f"{path} asks for what isn't built here", faults), hint=MERGE_YOURSELF)
        base = fields.get("base_model_name_or_path")
        return cls(
            fields["r"],
            float(fields["lora_alpha"]),
            dict(fields.get("rank_pattern") or {}),
            {key: float(alpha) for key, alpha in (fields.get("alpha_pattern") or {}).items()},
            bool(fields.get("use_rslora")),
            bool(fields.get("use_dora")),
            bool(fields.get("ensure_weight_tying")),
            tuple(fields.get("modules_to_save") or ()),
            base if isinstance(base, str) and base else None,
        )


def _unbuilt(fields: Mapping[str, Any]) -> list[str]:
    found = []
    for name, value in fields.items():
        if name in INERT or name in READ or not value:
            continue
        meaning = MEANINGS.get(name)
        found.append(f"{name}: {meaning}" if meaning else f"{name}: nothing that this version knows, and it is {_short(value)}")
    if fields.get("task_type") not in TASKS:
        found.append(f"task_type is {_short(fields['task_type'])}; a language model's is CAUSAL_LM")
    start = fields.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(CHANGING_INITS):
        found.append(
            f"init_lora_weights is {_short(start)}, which changed the base model's weights before training: save it as a plain "
            "LoRA (save_pretrained with path_initial_model_for_weight_conversion)"
        )
    return found


def _wrong_numbers(fields: Mapping[str, Any]) -> list[str]:
    found = []
    if not _is_rank(fields.get("r")):
        found.append(f"r is {_short(fields.get('r'))}; expected a whole number from 1")
    if not _is_alpha(fields.get("lora_alpha")):
        found.append(f"lora_alpha is {_short(fields.get('lora_alpha'))}; expected a number")
    for name, is_right in (("rank_pattern", _is_rank), ("alpha_pattern", _is_alpha)):
        patterns = fields.get(name) or {}
        if not isinstance(patterns, dict) or len(patterns) > MOST_PATTERNS:
            found.append(f"{name} is {_short(patterns)}; expected an object of at most {MOST_PATTERNS:,} patterns")
            continue
        found += [f"{name} has {_short(value)} for {_short(key)}" for key, value in patterns.items() if not is_right(value)]
        found += [f"{name} has a pattern that isn't matched here: {_short(key)}" for key in patterns if not _is_pattern(key)]
    saved = fields.get("modules_to_save") or []
    if not isinstance(saved, list) or not all(isinstance(one, str) for one in saved):
        found.append(f"modules_to_save is {_short(saved)}; expected a list of names")
    flags = ("use_rslora", "use_dora", "ensure_weight_tying")
    found += [
        f"{name} is {_short(fields[name])}; expected true or false" for name in flags if type(fields.get(name, True)) is not bool
    ]
    return found


def _is_rank(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_alpha(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_pattern(key: str) -> bool:
    """Whether it is a regular expression that can't take long."""
    if len(key) > LONGEST_PATTERN or len(_REPEAT.findall(key)) > MOST_REPEATS or _REPEATED_GROUP.search(key):
        return False
    try:
        re.compile(key)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _pattern(patterns: Mapping[str, Any], module: str) -> str | None:
    """The first that fits a module's name, or the end of it from some dot on: PEFT's own rule."""
    return next((key for key in patterns if re.match(rf"(.*\.)?({key})$", module)), None)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
