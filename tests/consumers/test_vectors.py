"""The shared vectors are what transformers and PyTorch say, and this project's own runtime gives what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vectors.make import FILE, NANO, make, written
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.ort.decoder import OrtDecoder
from youtu_onnx.text import ChatTemplate, Tokenizer

VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
TOKENIZER = Tokenizer.open(NANO)
TOLERANCES = {"fp32": 1e-3, "fp16": 0.05, "int8": 0.6, "int4": 3.0}
"""Largest difference of a logit from PyTorch's, where logits reach from -20 to 20."""


def test_the_file_is_what_transformers_says_today():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    made = make()
    for name in ("texts", "literals", "chats", "greedy"):
        assert VECTORS[name] == json.loads(json.dumps(made[name])), "run python -m tests.vectors.make, and ask why it changed"
    np.testing.assert_allclose(VECTORS["logits"], made["logits"], atol=1e-3)
    assert json.loads(written(VECTORS)) == VECTORS


@pytest.mark.parametrize("kind", ["texts", "literals"])
def test_texts(kind: str):
    for one in VECTORS[kind]:
        assert TOKENIZER.encode(one["text"], special=True) == one["ids"]
        assert TOKENIZER.decode(one["ids"]) == one["text"]


def test_chats():
    template = ChatTemplate.open(NANO, TOKENIZER)
    assert template is not None
    for one in VECTORS["chats"]:
        prompt = template.prompt(one["messages"], **one["options"])
        assert (prompt.text, prompt.token_ids) == (one["prompt"], one["ids"])


@pytest.mark.parametrize("precision", TOLERANCES)
def test_logits(nano_bundle: Callable[..., Path], precision: str):
    decoder = OrtDecoder.open(Bundle.open(nano_bundle(precision)))
    furthest = 0.0
    for one, expected in zip(VECTORS["greedy"], VECTORS["logits"], strict=True):
        decoder.reset()
        furthest = max(furthest, float(np.abs(decoder.prefill(one["ids"]) - np.array(expected)).max()))
    assert furthest <= TOLERANCES[precision]
    assert precision == "fp32" or furthest > TOLERANCES[precision] / 20, "the tolerance says nothing"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_greedy_tokens(nano_bundle: Callable[..., Path], precision: str):
    decoder = OrtDecoder.open(Bundle.open(nano_bundle(precision)))
    end = TOKENIZER.eos_id
    for one in VECTORS["greedy"]:
        decoder.reset()
        row, found = decoder.prefill(one["ids"]), []
        while len(found) < len(one["tokens"]) and (not found or found[-1] != end):
            found.append(int(row.argmax()))
            row = decoder.decode(found[-1:])[-1]
        assert found == one["tokens"], one["text"]
