"""youtu-nano, the trained model in the package: the bundle says what PyTorch says, and rounding loses few answers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from transformers import AutoModelForCausalLM

import youtu_onnx
from youtu_onnx.evaluate.evaluation import evaluate
from youtu_onnx.evaluate.problem import HELD_OUT, read_problems

NANO = Path(youtu_onnx.__file__).parent / "models" / "youtu_nano"
PROMPTS = ("What is 47 + 38?", "把列表 [4, 9, 1, 7] 从小到大排序。", "Hello!", 'Reverse the word "planet".', "17 是奇数吗？")
STEPS = 64


@pytest.fixture(scope="module")
def transformers_model():
    return AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.float32).eval()


@pytest.mark.parametrize("cache", ["latent", "expanded"])
def test_64_greedy_tokens_equal_transformers(nano_bundle, transformers_model, cache):
    with youtu_onnx.load(nano_bundle("fp32", cache)) as model:
        for prompt in PROMPTS:
            ids = model.template.prompt([{"role": "user", "content": prompt}]).token_ids
            expected = transformers_model.generate(
                torch.tensor([ids]), max_new_tokens=STEPS, min_new_tokens=STEPS, do_sample=False, eos_token_id=[]
            )[0, len(ids) :].tolist()
            model.decoder.reset()
            logits, made = model.decoder.prefill(ids), []
            for _ in range(STEPS):
                made.append(int(logits.argmax()))
                logits = model.decoder.prefill(made[-1:])
            assert made == expected, prompt


def test_ort_and_genai_write_the_same_int4_text(nano_bundle):
    pytest.importorskip("onnxruntime_genai")
    replies = {}
    for runtime in ("ort", "genai"):
        with youtu_onnx.load(nano_bundle("int4"), runtime=runtime) as model:
            replies[runtime] = [model.generate(prompt, greedy=True, max_tokens=STEPS).token_ids for prompt in PROMPTS]
    assert replies["ort"] == replies["genai"]
    assert all(replies["ort"])


def test_rounding_to_int4_loses_few_answers(nano_bundle):
    """A third of the held-out problems, spread over all families: int4 keeps nearly all that float32 gets right."""
    problems = read_problems(HELD_OUT)[::3]
    right = {}
    for precision in ("fp32", "int4"):
        with youtu_onnx.load(nano_bundle(precision)) as model:
            right[precision], total = evaluate(model, problems).score()
    assert right["fp32"] >= 0.8 * total
    assert right["int4"] >= right["fp32"] - 0.1 * total
