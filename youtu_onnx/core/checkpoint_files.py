"""The files of a Hugging Face checkpoint: its JSON, and which weight files are in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import names
from youtu_onnx.core.bundle.manifest import is_plain_name
from youtu_onnx.core.bundle.missing import is_bundle
from youtu_onnx.core.checkpoint_names import CONFIG, INDEX, SINGLE
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.foreign import listing, object_or_nothing, recognised, some
from youtu_onnx.core.shell import quoted

__all__ = ["CONFIG", "read_object", "refuse_what_is_no_checkpoint", "weight_files"]


def refuse_what_is_no_checkpoint(folder: Path) -> None:
    """
    Raises:
        CheckpointError: what the folder is instead.
    """
    if is_bundle(folder) and not any(name.endswith(".safetensors") for name in listing(folder)):
        source = object_or_nothing(folder / names.MANIFEST).get("source")
        made_of = source.get("model") if isinstance(source, dict) else None
        raise CheckpointError(
            f"{folder} is a bundle, which youtu-onnx export wrote, and no checkpoint",
            hint=f"to run it: youtu-onnx chat {quoted(folder)}; to export again, name {made_of or 'what it was made of'}",
        )
    gone = [name for name in listing(folder) if (folder / name).is_symlink() and not (folder / name).exists()]
    if gone:
        raise CheckpointError(
            f"{folder} has links to files that are gone: {some(gone)}",
            hint="download the checkpoint again (hf download); in a copy of the hub's cache, copy what the links lead to",
        )
    found = recognised(folder)
    if found is not None:
        raise CheckpointError(f"{folder} is {found.what}", hint=found.hint)


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
        raise CheckpointError(
            f"{path} can't be read as JSON ({error})",
            hint="correct it (JSON in UTF-8, without a byte order mark), or download the checkpoint again",
        ) from error
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
        raise _no_weights(folder)
    shards = read_object(folder / INDEX, "").get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise CheckpointError(
            f"{folder / INDEX} has no weight_map of tensor names to file names", hint="download the checkpoint again"
        )
    found = sorted(set(shards.values()))
    outside = [name for name in found if not is_plain_name(name) or not name.endswith(".safetensors")]
    if outside:
        listed = ", ".join(map(repr, outside))
        raise CheckpointError(
            f"{folder / INDEX} names what is no safetensors file of this folder: {listed}", hint="do not use this checkpoint"
        )
    missing = [name for name in found if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of {len(found)} weight files: {', '.join(missing)}", hint="download the missing files"
        )
    return tuple(folder / name for name in found)


def _no_weights(folder: Path) -> CheckpointError:
    """For a folder with neither a whole file nor an index."""
    present = listing(folder)
    found = [name for name in present if name.endswith(".safetensors")]
    if len(found) == 1:
        return CheckpointError(
            f"{folder} has neither {SINGLE} nor {INDEX}, but {found[0]}",
            hint=f"if that file holds all weights, call it {SINGLE}",
        )
    if found:
        return CheckpointError(
            f"{folder} has safetensors files ({some(found)}), but neither {SINGLE} nor {INDEX}",
            hint="download the checkpoint again, with its index",
        )
    pickled = [name for name in present if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    if pickled:
        return CheckpointError(
            f"{folder} has only pickled weights ({some(pickled)}), which can run any code when loaded; they are refused",
            hint="save them as safetensors where you trust them: "
            "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)",
        )
    return CheckpointError(f"{folder} has no weights: neither {SINGLE} nor {INDEX}", hint="download the checkpoint again")
