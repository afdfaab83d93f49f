"""What lies at a path that was named for a checkpoint or a bundle and is neither, in the words of the tool that made it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from youtu_onnx.core.checkpoint_names import ADAPTER, CONFIG
from youtu_onnx.core.errors import CheckpointError
from youtu_onnx.core.hub_cache import cached_repository, snapshots_in
from youtu_onnx.core.shell import quoted

FLOAT = "name the safetensors checkpoint that it was made of, a folder or a hub id such as tencent/Youtu-LLM-2B"
SUFFIXES = {
    ".gguf": "GGUF",
    ".ggml": "GGML",
    ".onnx": "ONNX",
    ".ort": "ONNX Runtime",
    ".tflite": "TensorFlow Lite",
    ".litertlm": "LiteRT",
    ".mlmodel": "Core ML",
    ".mlpackage": "Core ML",
    ".engine": "TensorRT",
    ".plan": "TensorRT",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".npz": "MLX",
    ".mnn": "MNN",
    ".nemo": "NeMo",
}
"""Files of models that are no checkpoint, whatever is in them."""
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".zst", ".7z")
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
TRAINING = re.compile(
    r".*\.distcp|zero_to_fp32\.py|global_step\d+|mp_rank_\d+.*|model_world_size_\d+_rank_\d+\.pt|pytorch_model_fsdp(_\d+|\.bin)|"
    r"latest_checkpointed_iteration\.txt"
)
"""What DeepSpeed, FSDP, Megatron and verl write while they train."""


@dataclass(frozen=True)
class Found:
    """``what`` completes "PATH is"; ``hint``: what to do instead of naming it for a checkpoint."""

    what: str
    hint: str


def recognised(path: Path) -> Found | None:
    """What a file or folder is, where it is no checkpoint and can be told.

    Raises:
        CheckpointError: the folder can't be read.
    """
    return _file(path) if path.is_file() else _folder(path)


def listing(folder: Path) -> list[str]:
    """Names in a folder, sorted.

    Raises:
        CheckpointError: it can't be read.
    """
    try:
        return sorted(one.name for one in folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder} can't be read ({error.strerror or error})", hint="check its permissions") from error


def is_checkpoint(folder: Path) -> bool:
    """Whether it has what every checkpoint has."""
    return (folder / CONFIG).is_file() and any(name.endswith(".safetensors") for name in listing(folder))


def within(folder: Path, test: Any) -> list[str]:
    """Names of the folders directly in one that pass a test."""
    return [name for name in listing(folder) if (folder / name).is_dir() and test(folder / name)]


def some(found: Iterable[str]) -> str:
    """A few of many names."""
    listed = list(found)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def _file(path: Path) -> Found | None:
    if kind := _format(path):
        return Found(f"{_an(kind)} file, which youtu-onnx does not read", FLOAT)
    if path.suffix in ARCHIVES:
        return Found("an archive", "unpack it, and name the folder")
    if path.suffix in PICKLES:
        return Found(
            "a file of pickled weights, which can run any code when loaded; youtu-onnx reads safetensors",
            "name the folder of a checkpoint that was saved with save_pretrained",
        )
    return None


def _format(path: Path) -> str | None:
    if path.is_file():
        with path.open("rb") as stream:
            if stream.read(4) == b"GGUF":
                return "GGUF"
    return SUFFIXES.get(path.suffix.lower())


def _folder(folder: Path) -> Found | None:
    present = listing(folder)
    weights = [name for name in present if name.endswith(".safetensors")]
    if ADAPTER in present or (weights and all(name.startswith("adapter_model") for name in weights)):
        return _adapter(folder, merged=any(not name.startswith("adapter_model") for name in weights))
    if "model_index.json" in present and CONFIG not in present:
        pipeline = object_or_nothing(folder / "model_index.json").get("_class_name")
        return Found(f"a diffusers pipeline{f' ({pipeline})' if pipeline else ''}, not a language model", FLOAT)
    if (cached := _cached(folder, present)) is not None:
        return cached
    return None if weights else _without_weights(folder, present)


def _adapter(folder: Path, *, merged: bool) -> Found:
    config = object_or_nothing(folder / ADAPTER)
    kind, base = config.get("peft_type"), config.get("base_model_name_or_path")
    called = "a LoRA" if kind in ("LORA", None) else _an(str(kind))
    what = f"{called} adapter{f' for {base}' if base else ''}, not a whole checkpoint"
    merge = (
        "merge it into its base model and export the result: "
        f"AutoPeftModelForCausalLM.from_pretrained({str(folder)!r}).merge_and_unload().save_pretrained(NEW_FOLDER)"
    )
    if kind == "LORA":
        named = quoted(base) if isinstance(base, str) and base else "BASE"
        merge = f"export its base model with it: youtu-onnx export --model {named} --adapter {quoted(folder)}; or {merge}"
    return Found(what, f"{merge}; if its weights are merged already, delete {ADAPTER}" if merged else merge)


def _cached(folder: Path, present: list[str]) -> Found | None:
    """Folders of the hub's cache above those of snapshots."""
    above = folder.parent if folder.name == "snapshots" else folder
    if repository := cached_repository(above):
        found = snapshots_in(above)
        if not found:
            return Found(f"{repository} in the hub's cache, without a snapshot", f"download it whole: hf download {repository}")
        return Found(
            f"{repository} in the hub's cache; the files lie in a folder of snapshots in it",
            f"name {found[0]}, or the hub id {repository}",
        )
    repositories = [one for name in present if (one := cached_repository(folder / name))]
    if repositories:
        return Found(f"a cache of the hub, with {some(repositories)}", "name a model of it by its hub id")
    return None


def _without_weights(folder: Path, present: list[str]) -> Found | None:
    inner = within(folder, is_checkpoint)
    if inner:
        latest = max(inner, key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])
        return Found(f"no checkpoint itself, but a folder with {some(inner)}", f"name one of them, such as {folder / latest}")
    states = [name for name in present if TRAINING.fullmatch(name)]
    if states:
        return Found(
            f"the state of a training, in parts ({some(states)})",
            "join the parts and save them with save_pretrained first: python zero_to_fp32.py, accelerate merge-weights, "
            "or the converter of the tool that wrote them",
        )
    for name in present:
        if kind := _format(folder / name):
            return Found(f"a folder of {kind} files ({name}), which youtu-onnx does not read", FLOAT)
        if name == "openvino_model.xml":
            return Found(f"a folder of OpenVINO files ({name}), which youtu-onnx does not read", FLOAT)
    return None


def _an(name: str) -> str:
    return f"an {name}" if name[:1] in "AEIOU" or name in ("MLX", "MNN") else f"a {name}"


def object_or_nothing(path: Path) -> dict[str, Any]:
    """What is needed for a message alone: nothing where it can't be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
