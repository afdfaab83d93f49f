"""Writes a trained model in the Hugging Face layout, each file replaced atomically."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import YoutuConfig, YoutuForCausalLM

from training.common import tokenizer as bpe

from .tokenizer import MAX_LENGTH, VOCAB_SIZE

CONTEXT = MAX_LENGTH
SHAPES: dict[str, dict[str, Any]] = {
    "nano": {"intermediate_size": 640, "num_hidden_layers": 4, "q_lora_rank": 128, "kv_lora_rank": 64},
    "wide": {"intermediate_size": 768, "num_hidden_layers": 5, "q_lora_rank": 256, "kv_lora_rank": 256},
}
"""What ships, 3.1 million parameters, where every row of a matrix is a multiple of 64; and 5.4 million for measurements, where it
is one of 256, so that int4 blocks of any size fit."""


def config(tokenizer: Tokenizer, shape: str = "nano") -> YoutuConfig:
    """``shape``: one of :data:`SHAPES`."""
    return YoutuConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=256,
        **SHAPES[shape],
        num_attention_heads=8,
        num_key_value_heads=8,
        qk_nope_head_dim=32,
        qk_rope_head_dim=16,
        v_head_dim=32,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        attention_bias=False,
        rope_interleave=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        bos_token_id=tokenizer.token_to_id(bpe.BOS),
        eos_token_id=tokenizer.token_to_id(bpe.EOS),
        # Padding with eos is the tokenizer's business. Named here, transformers would zero that row of
        # the embedding on loading, and with tied embeddings the model could never end a reply.
        pad_token_id=None,
    )


def save(weights: dict[str, torch.Tensor], tokenizer: Tokenizer, folder: Path, shape: str = "nano") -> None:
    """Writes config, bf16 weights, generation defaults and tokenizer to `folder`.

    Files appear whole: they are written beside the folder and renamed into it, so a reader never
    meets half a file. (Weights and tokenizer of different runs may meet for a moment.)
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = YoutuForCausalLM(config(tokenizer, shape))
    model.load_state_dict(weights)
    model.bfloat16()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".youtu-nano-") as scratch:
        model.save_pretrained(scratch)
        bpe.save(tokenizer, Path(scratch), MAX_LENGTH)
        ids = model.config
        generation = {
            "bos_token_id": ids.bos_token_id,
            "eos_token_id": ids.eos_token_id,
            "pad_token_id": ids.eos_token_id,
            "do_sample": False,
            "max_new_tokens": 192,
        }
        Path(scratch, "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")
        for file in sorted(Path(scratch).iterdir()):
            file.chmod(0o644)
            os.replace(file, folder / file.name)
