"""generate() gives transformers' tokens, scores and text, in all its modes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.1")

import torch
from transformers import (
    GenerationConfig,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
    TextStreamer,
    pipeline,
)

from tests.consumer_bundles import CACHES
from tests.runtimes.hf.inputs import QUESTIONS, TOLERANCE, VECTORS, generated
from youtu_onnx.runtimes.huggingface.cache import OrtCache
from youtu_onnx.runtimes.huggingface.model import ORTYoutuForCausalLM


@pytest.mark.parametrize("cache", CACHES)
def test_greedy_tokens_of_the_shared_vectors(nano_bundle: Callable[..., Path], cache: str) -> None:
    with ORTYoutuForCausalLM.from_pretrained(nano_bundle("fp32", **CACHES[cache]), provider="cpu", threads=1) as model:
        for one in VECTORS["greedy"]:
            ids = torch.tensor([one["ids"]])
            made = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=64)
            assert made[0, ids.shape[1] :].tolist() == one["tokens"], one["text"]


MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "greedy, any end": {"eos_token_id": [], "min_new_tokens": 16},
    "without cache": {"use_cache": False, "max_new_tokens": 6},
    "prefill in chunks": {"prefill_chunk_size": 5},
    "sampling": {"do_sample": True, "temperature": 1.3, "top_k": 30, "top_p": 0.95},
    "several samples": {"do_sample": True, "temperature": 1.5, "num_return_sequences": 3},
    "beams": {"num_beams": 3},
    "several beams": {"num_beams": 4, "num_return_sequences": 2, "length_penalty": 0.5},
    "sampled beams": {"num_beams": 3, "do_sample": True, "temperature": 1.4},
    "repetition penalty": {"repetition_penalty": 1.5},
    "bad words": {"bad_words_ids": [[20], [26, 20]], "no_repeat_ngram_size": 2},
    "guidance": {"guidance_scale": 1.5, "max_new_tokens": 8},
}


@pytest.mark.parametrize("options", MODES.values(), ids=MODES)
def test_a_left_padded_batch_gives_the_same_tokens(model, reference, batch, options: dict[str, Any]) -> None:
    expected = generated(reference, batch, **options)
    assert generated(model, batch, **options).tolist() == expected.tolist()


@pytest.mark.parametrize("mode", ["sampling", "repetition penalty", "bad words"])
def test_options_have_an_effect(model, batch, mode: str) -> None:
    """So that the equality above says something of them."""
    assert generated(model, batch, **MODES[mode]).tolist() != generated(model, batch).tolist()


def test_prompts_in_a_batch_give_what_they_give_alone(model, tokenizer, batch) -> None:
    together = generated(model, batch)
    width = batch["input_ids"].shape[1]
    for row, mask in enumerate(batch["attention_mask"].bool()):
        ids = batch["input_ids"][row : row + 1, mask]
        alone = generated(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})[0, ids.shape[1] :]
        assert together[row, width : width + len(alone)].tolist() == alone.tolist()


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_scores_and_what_else_a_dict_has(model, reference, batch, options: dict[str, Any]) -> None:
    wanted = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True, "max_new_tokens": 8} | options
    made, expected = generated(model, batch, **wanted), generated(reference, batch, **wanted)
    assert made.sequences.tolist() == expected.sequences.tolist()
    assert len(made.scores) == len(expected.scores) > 1
    for name in ("scores", "logits"):
        torch.testing.assert_close(torch.stack(getattr(made, name)), torch.stack(getattr(expected, name)), atol=TOLERANCE, rtol=0)
    beams = {"beam_indices": made.beam_indices} if options else {}
    if options:
        torch.testing.assert_close(made.sequences_scores, expected.sequences_scores, atol=TOLERANCE, rtol=0)
    scores = [
        one.compute_transition_scores(one_made.sequences, one_made.scores, **beams)
        for one, one_made in ((model, made), (reference, expected))
    ]
    torch.testing.assert_close(*scores, atol=TOLERANCE, rtol=0)
    assert isinstance(made.past_key_values, OrtCache)
    assert made.past_key_values.get_seq_length() == expected.past_key_values.get_seq_length()


@pytest.mark.parametrize("assistant", ["prompt lookup", "PyTorch assists", "the bundle assists", "the bundle assists itself"])
def test_assisted_generation_gives_the_tokens_of_greedy(model, reference, single, assistant: str) -> None:
    main, helper = {
        "prompt lookup": (model, {"prompt_lookup_num_tokens": 4}),
        "PyTorch assists": (model, {"assistant_model": reference}),
        "the bundle assists": (reference, {"assistant_model": model}),
        "the bundle assists itself": (model, {"assistant_model": model}),
    }[assistant]
    expected = generated(reference, single, max_new_tokens=24)
    assert generated(main, single, max_new_tokens=24, **helper).tolist() == expected.tolist()


def test_streamers(model, tokenizer, single, capsys) -> None:
    expected = tokenizer.decode(generated(model, single)[0, single["input_ids"].shape[1] :])
    generated(model, single, streamer=TextStreamer(tokenizer, skip_prompt=True))
    assert capsys.readouterr().out == expected + "\n"
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
    thread = Thread(target=model.generate, kwargs=single | {"streamer": streamer, "max_new_tokens": 16})
    thread.start()
    pieces = list(streamer)
    thread.join()
    assert "".join(pieces) == expected and len([piece for piece in pieces if piece]) > 3


def test_stopping(model, tokenizer, single) -> None:
    class AfterFive(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:
            return torch.full((len(input_ids),), input_ids.shape[1] >= single["input_ids"].shape[1] + 5)

    made = generated(model, single, stopping_criteria=StoppingCriteriaList([AfterFive()]))
    assert made.shape[1] == single["input_ids"].shape[1] + 5
    whole = tokenizer.decode(generated(model, single)[0, single["input_ids"].shape[1] :])
    word = whole[8:11]
    stopped = generated(model, single, stop_strings=[word], tokenizer=tokenizer)
    text = tokenizer.decode(stopped[0, single["input_ids"].shape[1] :])
    assert word in text and len(text) < len(whole)


def test_the_bundles_generation_config_is_the_default(model, reference, single) -> None:
    assert model.generation_config.to_diff_dict() == reference.generation_config.to_diff_dict()
    assert model.generation_config.max_new_tokens == 192
    assert model.generate(**single).tolist() == reference.generate(**single).tolist()
    config = GenerationConfig(max_new_tokens=3, eos_token_id=[], pad_token_id=1)
    assert model.generate(**single, generation_config=config).shape[1] == single["input_ids"].shape[1] + 3


def test_generations_at_the_same_time_do_not_disturb_each_other(model, batch) -> None:
    rows = [
        {"input_ids": batch["input_ids"][row : row + 1, mask], "attention_mask": batch["attention_mask"][row : row + 1, mask]}
        for row, mask in enumerate(batch["attention_mask"].bool())
    ]
    expected = [model.generate(**one, max_new_tokens=16).tolist() for one in rows]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda one: model.generate(**one, max_new_tokens=16).tolist(), rows))
    assert found == expected


def test_the_pipeline(model, reference, tokenizer, caplog) -> None:
    chat = [{"role": "user", "content": QUESTIONS[0]}]
    logging.getLogger("transformers").addHandler(caplog.handler)
    try:
        ours = pipeline("text-generation", model=model, tokenizer=tokenizer)
        [reply] = ours(chat)
    finally:
        logging.getLogger("transformers").removeHandler(caplog.handler)
    assert "not supported" not in caplog.text
    [expected] = pipeline("text-generation", model=reference, tokenizer=tokenizer)(chat)
    assert reply == expected and "85" in reply["generated_text"][-1]["content"]
    both = ours([chat, [{"role": "user", "content": QUESTIONS[2]}]], batch_size=2, max_new_tokens=12, num_beams=2)
    assert len(both) == 2
