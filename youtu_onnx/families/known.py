"""The families there are. A list, read by name: a family is code of this project, nothing that a user plugs in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from youtu_onnx.core.bundle import ModelFacts
from youtu_onnx.core.errors import BundleError, CheckpointError
from youtu_onnx.families.architecture import Architecture
from youtu_onnx.families.family import Family
from youtu_onnx.families.microreason.family import MICROREASON
from youtu_onnx.families.youtu.family import YOUTU

FAMILIES: tuple[Family[Any], ...] = (YOUTU, MICROREASON)


def family_called(name: str) -> Family[Any]:
    """The family that a manifest names.

    Raises:
        BundleError: this version doesn't know it.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise BundleError(
        f"the bundle's model is of the family {name!r}; this youtu-onnx knows {', '.join(one.name for one in FAMILIES)}",
        hint="upgrade youtu-onnx",
    )


def family_of(config: Mapping[str, Any], *, where: str) -> Family[Any]:
    """The family that a checkpoint's ``config.json`` belongs to.

    Raises:
        CheckpointError: none of those that are known.
    """
    model_type = config.get("model_type")
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    known = [name for family in FAMILIES for name in family.model_types]
    hint = "point --model at a Youtu-LLM or MicroReason checkpoint, or name the built-in 'youtu-nano'"
    classes = config.get("architectures")
    listed = ", ".join(map(str, classes)) if isinstance(classes, list) else ""
    if "Youtu" in listed or {"q_lora_rank", "kv_lora_rank"} <= set(config):
        hint = f'if it is a Youtu-LLM checkpoint, write "model_type": "{known[0]}" into the file; else {hint}'
    raise CheckpointError(
        f"{where}: model_type is {model_type!r}{f', of {listed}' if listed else ''}; youtu-onnx exports "
        f"{' and '.join(map(repr, known))}",
        hint=hint,
    )


def architecture_of(model: ModelFacts) -> Architecture:
    """The architecture that a manifest recorded, read by its family.

    Raises:
        BundleError: an unknown family, or a record that it can't read.
    """
    try:
        found: Architecture = family_called(model.family).read(model.record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"the manifest's architecture is none of the family {model.family} ({type(error).__name__}: {error})",
            hint="export the bundle again",
        ) from error
    return found
