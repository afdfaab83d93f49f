"""Youtu for Hugging Face Optimum: its exporter, and its ``ORTModelForCausalLM``.

optimum-onnx 0.1 wants a transformers below 4.58, where Youtu doesn't exist yet. Youtu's layers are those of DeepSeek-V3
that have no experts, and their tensors have the same names; so transformers' own DeepSeek-V3, told that every layer is
dense, is the model, and optimum-onnx's own DeepSeek-V3 graph its export: float32, every head's keys and values cached.

``python -m youtu_onnx.optimum export onnx --model CHECKPOINT --task text-generation-with-past FOLDER`` is ``optimum-cli``
with Youtu in it. :func:`register` does the same for a program, :func:`ort_config` lets ``ORTModelForCausalLM`` open what
comes out, and this project's bundles, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from youtu_onnx.core.bundle import Manifest, names
from youtu_onnx.core.errors import BundleError, UsageError, YoutuOnnxError
from youtu_onnx.families.known import architecture_of
from youtu_onnx.families.youtu.architecture import Architecture

try:
    from optimum.exporters.onnx.model_configs import DeepSeekV3OnnxConfig
    from optimum.exporters.tasks import TasksManager
    from transformers import AutoConfig, AutoModelForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM, LlamaConfig
except ImportError as error:
    raise YoutuOnnxError(
        f"Optimum's exporter can't be imported: {error}",
        hint="pip install optimum-onnx in an environment of its own (it brings transformers 4), or use "
        "youtu-onnx export, which needs no Optimum",
    ) from error

MODEL_TYPE = "youtu"
TASKS = ("text-generation", "text-generation-with-past")


class YoutuConfig(DeepseekV3Config):  # type: ignore[no-untyped-call]
    """A Youtu ``config.json`` in the words of transformers 4's DeepSeek-V3, with no layer of experts."""

    model_type = MODEL_TYPE

    def __init__(self, num_hidden_layers: int = 32, rope_parameters: dict[str, Any] | None = None, **fields: Any) -> None:
        """``rope_parameters``: as transformers 5 writes them, instead of ``rope_theta`` and ``rope_scaling``."""
        if rope_parameters is not None:
            scaling = {name: value for name, value in rope_parameters.items() if name != "rope_theta"}
            fields["rope_theta"] = rope_parameters.get("rope_theta", 10000.0)
            fields["rope_scaling"] = None if scaling.get("rope_type", "default") == "default" else scaling
        fields["first_k_dense_replace"] = num_hidden_layers
        super().__init__(num_hidden_layers=num_hidden_layers, **fields)


class YoutuForCausalLM(DeepseekV3ForCausalLM):  # type: ignore[no-untyped-call]
    config_class = YoutuConfig
    __module__ = "transformers.youtu_onnx"  # Optimum takes a model for transformers' by the beginning of this name


class YoutuOnnxConfig(DeepSeekV3OnnxConfig):  # type: ignore[misc]  # Optimum has no types
    """Inputs and outputs of the graph that optimum-onnx traces: ``[B, H, P, 192]`` keys and ``[B, H, P, 128]`` values."""

    ATOL_FOR_VALIDATION = 1e-4  # logits reach 20 and more, where float32 itself is good for 1e-5


def register() -> None:
    """Tell transformers' auto classes and Optimum's ``TasksManager`` of Youtu. Doing it again does no harm.

    Raises:
        UsageError: a transformers that has Youtu itself, and caches what optimum-onnx's graph of DeepSeek-V3 doesn't.
    """
    import transformers

    if hasattr(transformers, "YoutuForCausalLM"):
        raise UsageError(
            f"transformers {transformers.__version__} has a Youtu of its own, which optimum-onnx doesn't know",
            hint="use transformers below 4.58 with optimum-onnx, or youtu-onnx export",
        )
    AutoConfig.register(MODEL_TYPE, YoutuConfig, exist_ok=True)
    AutoModelForCausalLM.register(YoutuConfig, YoutuForCausalLM, exist_ok=True)
    TasksManager.create_register("onnx", overwrite_existing=True)(MODEL_TYPE, *TASKS)(YoutuOnnxConfig)


def ort_config(folder: str | Path) -> DeepseekV3Config | LlamaConfig:
    """What ``ORTModelForCausalLM.from_pretrained(folder, config=…)`` has to be told to open a folder.

    That class reads the shapes of a cache off the configuration and knows Youtu's in no form. It finds the right ones with
    DeepSeek-V3's name for every head's keys and values, and with Llama's for the one row per token of a latent cache.

    Args:
        folder: a bundle, or what Optimum's exporter wrote.

    Raises:
        BundleError: neither.
        UsageError: a bundle whose cache has a reserved length.
    """
    folder = Path(folder)
    if (folder / names.MANIFEST).is_file():
        manifest = Manifest.read(folder / names.MANIFEST)
        architecture, cache = architecture_of(manifest.model), manifest.cache
    elif (folder / names.CONFIG).is_file():
        read = json.loads((folder / names.CONFIG).read_text(encoding="utf-8"))
        # Optimum writes rope_scaling and rope_theta, as transformers 4 does; Architecture reads them, too.
        architecture, cache = Architecture.from_config(read), None
    else:
        raise BundleError(
            f"{folder} has neither {names.MANIFEST} nor {names.CONFIG}",
            hint="name a folder that youtu-onnx export or Optimum's exporter wrote",
        )
    if cache is not None and cache.length is not None:
        raise UsageError(
            f"{folder} reserves {cache.length:,} rows of cache, and ORTModelForCausalLM takes the rows of a cache "
            "for the tokens in it",
            hint="use ORTYoutuForCausalLM, or export with --target cpu or cuda",
        )
    fields = architecture.to_hf_config()
    if cache is not None and cache.form == "latent":
        # Its head width is hidden_size / num_attention_heads; nothing else of these numbers is used.
        row = cache.tensors[0]
        heads: dict[str, Any] = {
            "num_attention_heads": row.heads,
            "num_key_value_heads": row.heads,
            "hidden_size": row.heads * row.width,
            "head_dim": row.width,
        }
        kept = ("vocab_size", "num_hidden_layers", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
        return LlamaConfig(**{name: fields[name] for name in kept}, **heads)
    return DeepseekV3Config(**YoutuConfig(**fields).to_dict() | {"model_type": "deepseek_v3"})


def main() -> None:
    """``optimum-cli`` that knows Youtu."""
    from optimum.commands.optimum_cli import main as optimum_cli

    register()
    sys.argv[0] = "optimum-cli"
    optimum_cli()
