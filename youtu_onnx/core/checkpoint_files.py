"""The files of a Hugging Face checkpoint: its JSON, and which weight files are in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle.manifest import is_plain_name
from youtu_onnx.core.errors import CheckpointError

CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


def read_object(path: Path, missing_hint: str) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: there is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent} has no {path.name}", hint=missing_hint) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} can't be read as JSON ({error})", hint="download the checkpoint again") from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path} holds a JSON {type(value).__name__}; expected an object", hint="download the checkpoint again"
        )
    return value


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files in use: ``model.safetensors``, or the shards that the index names.

    Raises:
        CheckpointError: none are there, or only such as could run code.
    """
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    if not (folder / INDEX).is_file():
        present = sorted(path.name for path in folder.iterdir())
        if any(name.endswith(".safetensors") for name in present):
            raise CheckpointError(
                f"{folder} has safetensors files, but neither {SINGLE} nor {INDEX}",
                hint="download the checkpoint again, with its index",
            )
        if any(name.endswith((".bin", ".pt", ".pth")) for name in present):
            raise CheckpointError(
                f"{folder} has only pickled weights (.bin, .pt), which can run any code when loaded; they are refused",
                hint="save them as safetensors where you trust them: "
                "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)",
            )
        raise CheckpointError(f"{folder} has no weights: neither {SINGLE} nor {INDEX}", hint="download the checkpoint again")
    shards = read_object(folder / INDEX, "").get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise CheckpointError(
            f"{folder / INDEX} has no weight_map of tensor names to file names", hint="download the checkpoint again"
        )
    names = sorted(set(shards.values()))
    outside = [name for name in names if not is_plain_name(name) or not name.endswith(".safetensors")]
    if outside:
        listed = ", ".join(map(repr, outside))
        raise CheckpointError(
            f"{folder / INDEX} names what is no safetensors file of this folder: {listed}", hint="do not use this checkpoint"
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of {len(names)} weight files: {', '.join(missing)}", hint="download the missing files"
        )
    return tuple(folder / name for name in names)
