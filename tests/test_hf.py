"""ORTYoutuForCausalLM gives what transformers' YoutuForCausalLM gives, in every mode of generate(), or says why it can't."""

from __future__ import annotations

import copy
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5.1")

import huggingface_hub
import torch
from transformers import (
    AutoTokenizer,
    DynamicCache,
    GenerationConfig,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
    TextStreamer,
    YoutuForCausalLM,
    pipeline,
)

from runtimes.decoder import PREFILL_CHUNK
from runtimes.hf import ORTYoutuForCausalLM
from runtimes.hf_cache import OrtCache
from runtimes.ort import OrtDecoder
from tests.vectors.make import FILE, NANO
from youtu_onnx.bundle import Bundle
from youtu_onnx.errors import BundleError, ResourceError, UsageError

VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
QUESTIONS = ("What is 47 + 38?", "Reverse the words: one two three four five six.", "3 + 4 = ?")
TOLERANCE = 1e-3
"""Of a logit in float32, where logits reach from -20 to 20."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For tiny matrices a second thread costs more than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(nano_bundle: Callable[..., Path]) -> ORTYoutuForCausalLM:
    return ORTYoutuForCausalLM.from_pretrained(nano_bundle("fp32"), threads=1)


@pytest.fixture(scope="module")
def reference() -> YoutuForCausalLM:
    return YoutuForCausalLM.from_pretrained(NANO, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(NANO, padding_side="left")


@pytest.fixture(scope="module")
def batch(tokenizer: Any) -> dict[str, torch.Tensor]:
    """Three prompts of different lengths, padded on the left."""
    chats = [[{"role": "user", "content": question}] for question in QUESTIONS]
    made = dict(tokenizer.apply_chat_template(chats, add_generation_prompt=True, return_tensors="pt", padding=True,
                                              return_dict=True))
    assert (made["attention_mask"] == 0).any() and made["attention_mask"][:, -1].all()
    return made


@pytest.fixture(scope="module")
def single(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The longest of them, which has no padding."""
    [row] = batch["attention_mask"].all(1).nonzero()[0].tolist()
    return {name: tensor[row : row + 1] for name, tensor in batch.items()}


def generated(model: Any, inputs: dict[str, torch.Tensor], **options: Any) -> Any:
    torch.manual_seed(7)
    return model.generate(**inputs, **{"max_new_tokens": 16} | options)


def random_ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(20, 1200, shape, generator=torch.Generator().manual_seed(seed))


# ---- generate() against transformers


@pytest.mark.parametrize("cache", ["latent", "expanded"])
def test_greedy_tokens_of_the_shared_vectors(nano_bundle: Callable[..., Path], cache: str) -> None:
    with ORTYoutuForCausalLM.from_pretrained(nano_bundle("fp32", cache), threads=1) as model:
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
        torch.testing.assert_close(torch.stack(getattr(made, name)), torch.stack(getattr(expected, name)),
                                   atol=TOLERANCE, rtol=0)
    beams = {"beam_indices": made.beam_indices} if options else {}
    if options:
        torch.testing.assert_close(made.sequences_scores, expected.sequences_scores, atol=TOLERANCE, rtol=0)
    scores = [one.compute_transition_scores(one_made.sequences, one_made.scores, **beams)
              for one, one_made in ((model, made), (reference, expected))]
    torch.testing.assert_close(*scores, atol=TOLERANCE, rtol=0)
    assert isinstance(made.past_key_values, OrtCache)
    assert made.past_key_values.get_seq_length() == expected.past_key_values.get_seq_length()


@pytest.mark.parametrize("assistant", ["prompt lookup", "PyTorch assists", "the bundle assists", "the bundle assists itself"])
def test_assisted_generation_gives_the_tokens_of_greedy(model, reference, single, assistant: str) -> None:
    main, helper = {"prompt lookup": (model, {"prompt_lookup_num_tokens": 4}),
                    "PyTorch assists": (model, {"assistant_model": reference}),
                    "the bundle assists": (reference, {"assistant_model": model}),
                    "the bundle assists itself": (model, {"assistant_model": model})}[assistant]
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
    rows = [{"input_ids": batch["input_ids"][row : row + 1, mask], "attention_mask": batch["attention_mask"][row : row + 1, mask]}
            for row, mask in enumerate(batch["attention_mask"].bool())]
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


# ---- forward


@pytest.mark.parametrize("padding", ["none", "left", "right"])
def test_logits_of_a_batch(model, reference, padding: str) -> None:
    ids, mask = random_ids(3, 9), torch.ones(3, 9, dtype=torch.long)
    if padding != "none":
        mask[0, slice(0, 4) if padding == "left" else slice(6, 9)] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        expected = reference(ids, attention_mask=mask, position_ids=positions).logits
    made = model(ids, attention_mask=mask)
    assert made.logits.dtype == model.dtype == torch.float32 and made.loss is None
    torch.testing.assert_close(made.logits[mask.bool()], expected[mask.bool()], atol=TOLERANCE, rtol=0)
    assert made.logits.isfinite().all()


def test_logits_of_the_shared_vectors(model) -> None:
    for one, row in zip(VECTORS["greedy"], VECTORS["logits"], strict=True):
        np.testing.assert_allclose(model(torch.tensor([one["ids"]])).logits[0, -1], row, atol=TOLERANCE)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_any_way_of_cutting_a_text_gives_the_same_logits(model, batch_size: int) -> None:
    ids = random_ids(batch_size, PREFILL_CHUNK + 30)
    whole = model(ids).logits
    assert whole.shape == (batch_size, PREFILL_CHUNK + 30, 1280)
    for keep in (1, 2, 40, PREFILL_CHUNK + 5):
        torch.testing.assert_close(model(ids, logits_to_keep=keep).logits, whole[:, -keep:], atol=TOLERANCE, rtol=0)
    chosen = torch.tensor([3, 500, 541])
    torch.testing.assert_close(model(ids, logits_to_keep=chosen).logits, whole[:, chosen], atol=TOLERANCE, rtol=0)
    first = model(ids[:, :7])
    second = model(ids[:, 7:100], past_key_values=first.past_key_values)
    assert second.past_key_values is first.past_key_values and first.past_key_values.get_seq_length() == 100
    torch.testing.assert_close(torch.cat([first.logits, second.logits], 1), whole[:, :100], atol=TOLERANCE, rtol=0)


def test_loss(model, reference) -> None:
    ids, labels = random_ids(2, 8), random_ids(2, 8)
    labels[0, :3] = -100
    with torch.no_grad():
        expected = reference(ids, labels=labels)
    made = model(ids, labels=labels, logits_to_keep=2)
    torch.testing.assert_close(made.loss, expected.loss, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(made.logits, expected.logits[:, -2:], atol=TOLERANCE, rtol=0)


def test_a_tuple_and_no_cache(model) -> None:
    ids = random_ids(1, 4)
    logits, cache = model(ids, return_dict=False)
    assert logits.shape == (1, 4, 1280) and cache.get_seq_length() == 4
    assert model(ids, use_cache=False).past_key_values is None


def spy(model: ORTYoutuForCausalLM, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """New tokens of each step, and rows of logits that came back."""
    steps, real = [], model.model.step

    def step(input_ids: np.ndarray, *inputs: Any, **options: Any) -> Any:
        logits, binding = real(input_ids, *inputs, **options)
        assert logits.base is None or logits.base.shape == logits.shape, "a view of more rows than were wanted"
        steps.append((input_ids.shape[1], logits.shape[1]))
        return logits, binding

    monkeypatch.setattr(model.model, "step", step)
    return steps


def test_a_long_prompt_costs_one_row_of_logits(model, monkeypatch) -> None:
    steps = spy(model, monkeypatch)
    ids = random_ids(1, PREFILL_CHUNK + 20)
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, min_new_tokens=3)
    assert steps == [(PREFILL_CHUNK, 1), (20, 1), (1, 1), (1, 1)]
    steps.clear()
    model.generate(ids[:, :100], attention_mask=torch.ones(1, 100, dtype=torch.long), max_new_tokens=2, min_new_tokens=2,
                   prompt_lookup_num_tokens=3)
    assert steps[0][1] == 1 and all(rows <= 4 for _, rows in steps)


def test_a_failed_step_leaves_the_cache_as_it_was(model, monkeypatch) -> None:
    ids, real, calls = random_ids(1, PREFILL_CHUNK + 9), model.model.step, []
    cache = model(ids[:, :3]).past_key_values

    def fail_at_second(*inputs: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise ResourceError("out of memory")
        return real(*inputs, **options)

    with monkeypatch.context() as patched:
        patched.setattr(model.model, "step", fail_at_second)
        with pytest.raises(ResourceError):
            model(ids[:, 3:], past_key_values=cache)
    assert cache.get_seq_length() == 3
    torch.testing.assert_close(model(ids[:, 3:6], past_key_values=cache).logits, model(ids[:, :6]).logits[:, 3:],
                               atol=TOLERANCE, rtol=0)


def test_a_reply_ends_where_the_context_does(model, caplog) -> None:
    ids = random_ids(1, 1018)
    with caplog.at_level(logging.WARNING, "runtimes.hf"):
        made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=50, eos_token_id=[])
    assert made.shape[1] == 1024 and "the model's context" in caplog.text
    with pytest.raises(UsageError, match="more than the context of 1024"):
        model(torch.zeros(1, 1025, dtype=torch.long))


# ---- the cache

KINDS = [("fp32", "latent"), ("fp32", "expanded"), ("int4", "latent-int8")]


@pytest.fixture(params=KINDS, ids="-".join)
def kind(request, nano_bundle: Callable[..., Path]) -> Iterator[ORTYoutuForCausalLM]:
    with ORTYoutuForCausalLM.from_pretrained(nano_bundle(*request.param), threads=1) as opened:
        yield opened


def follow(model: ORTYoutuForCausalLM, cache: OrtCache) -> torch.Tensor:
    """Logits of token 30 behind each sequence."""
    return model(torch.full((cache.batch_size, 1), 30), past_key_values=cache).logits


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """In a batch of another size the sums run in another order."""
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_rows_are_reordered_repeated_and_selected(kind) -> None:
    ids = random_ids(3, 6)
    alone = follow(kind, kind(ids).past_key_values)
    changes = {"reorder_cache": ([2, 0, 0], [2, 0, 0]), "batch_select_indices": ([1], [1])}
    for name, (wanted, expected) in changes.items():
        cache = kind(ids).past_key_values
        getattr(cache, name)(torch.tensor(wanted))
        assert (cache.batch_size, cache.get_seq_length()) == (len(expected), 6)
        same(follow(kind, cache), alone[expected])
    cache = kind(ids).past_key_values
    cache.batch_select_indices(torch.tensor([False, True, True]))
    same(follow(kind, cache), alone[1:])
    one = kind(ids[:1]).past_key_values
    one.batch_repeat_interleave(2)
    same(follow(kind, one), alone[[0, 0]])


def test_tokens_are_dropped(kind) -> None:
    for size in (1, 2):
        ids = random_ids(size, 9)
        expected = follow(kind, kind(ids[:, :6]).past_key_values)
        for argument in (-3, 6):  # what it means now, and what it meant in older releases
            cache = kind(ids).past_key_values
            cache.crop(argument)
            assert cache.get_seq_length() == 6
            same(follow(kind, cache), expected)
        with pytest.raises(UsageError, match="the cache holds 7"):
            cache.crop(-8)
        cache.reset()
        assert (cache.get_seq_length(), cache.batch_size, cache.is_initialized) == (0, -1, False)
        same(kind(ids, past_key_values=cache).logits, kind(ids).logits)


def test_a_copied_cache_goes_its_own_way(kind) -> None:
    """A common beginning is computed once, and copied for each text that starts so."""
    for size in (1, 2):
        ids = random_ids(size, 12)
        start = kind(ids[:, :8]).past_key_values
        twin = copy.deepcopy(start)
        found = kind(ids[:, 8:], past_key_values=twin).logits
        assert (start.get_seq_length(), twin.get_seq_length()) == (8, 12)
        same(found, kind(ids).logits[:, 8:])
        same(follow(kind, start), follow(kind, kind(ids[:, :8]).past_key_values))


def test_generate_continues_a_cache(model, reference, single) -> None:
    more = torch.cat([single["input_ids"], random_ids(1, 5)], 1)
    cache = model(single["input_ids"]).past_key_values
    found = model.generate(more, attention_mask=torch.ones_like(more), past_key_values=cache, max_new_tokens=8)
    expected = reference.generate(more, attention_mask=torch.ones_like(more), max_new_tokens=8)
    assert found.tolist() == expected.tolist()
    assert cache.get_seq_length() == found.shape[1] - 1


def test_beams_over_every_cache(kind, reference, batch) -> None:
    found = generated(kind, batch, num_beams=3, max_new_tokens=10)
    if kind.model.bundle.manifest.cache.dtype == "float32":
        assert found.tolist() == generated(reference, batch, num_beams=3, max_new_tokens=10).tolist()
        return
    assert found.tolist() == generated(kind, batch, num_beams=3, max_new_tokens=10, use_cache=False).tolist()


def test_the_int8_cache_gives_what_the_decoder_gives(nano_bundle) -> None:
    path = nano_bundle("int4", "latent-int8")
    ids = VECTORS["greedy"][0]["ids"]
    decoder = OrtDecoder.open(Bundle.open(path), threads=1)
    row, expected = decoder.prefill(ids), []
    for _ in range(20):
        expected.append(int(row.argmax()))
        row = decoder.decode(expected[-1:])[-1]
    with ORTYoutuForCausalLM.from_pretrained(path, threads=1) as model:
        made = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=20,
                              min_new_tokens=20, eos_token_id=[])
        assert made[0, len(ids) :].tolist() == expected
        assert {array.dtype for array in model(torch.tensor([ids])).past_key_values.arrays()} == {np.dtype(np.uint8)}


# ---- what is refused

REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "contrastive search": ({"penalty_alpha": 0.6, "top_k": 4}, "contrastive search compares hidden states"),
    "DoLa": ({"dola_layers": "high"}, "the last layer's alone"),
    "early exit": ({"assistant_early_exit": 2}, "not in the graph"),
    "attentions": ({"output_attentions": True, "return_dict_in_generate": True}, "attention weights"),
    "hidden states": ({"output_hidden_states": True, "return_dict_in_generate": True}, "hidden states"),
    "embeddings": ({"inputs_embeds": torch.zeros(1, 2, 256)}, "starts from token ids"),
    "a static cache": ({"cache_implementation": "static"}, "the graph has its own cache"),
    "a paged cache": ({"cache_implementation": "paged"}, "the graph has its own cache"),
    "another model's cache": ({"past_key_values": DynamicCache()}, "is a DynamicCache"),
}


@pytest.mark.parametrize(("options", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_generate_refuses(model, single, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model.generate(**single, **options)


def test_options_that_a_generation_config_sets_are_refused_too(model, single) -> None:
    with pytest.raises(UsageError, match="hidden states"):
        model.generate(**single, generation_config=GenerationConfig(output_hidden_states=True))


def test_a_misspelt_option_is_refused(model, single) -> None:
    with pytest.raises(ValueError, match="max_nwe_tokens"):
        model.generate(**single, max_nwe_tokens=3)


def test_continuous_batching_is_refused(model) -> None:
    with pytest.raises(UsageError, match="continuous batching"):
        model.generate_batch([[1, 2]])


@pytest.mark.parametrize(("inputs", "message"), [
    ({"input_ids": None}, "input_ids is None"),
    ({"input_ids": torch.zeros(1, 0, dtype=torch.long)}, "at least one of each"),
    ({"input_ids": torch.zeros(3, dtype=torch.long)}, "expected whole numbers"),
    ({"input_ids": torch.zeros(1, 2)}, "torch.float32"),
    ({"input_ids": torch.tensor([[1, 1280]])}, "reach from 1 to 1280; the vocabulary has 1280"),
    ({"input_ids": torch.tensor([[-1, 5]])}, "reach from -1"),
    ({"input_ids": torch.ones(1, 2, dtype=torch.long), "attention_mask": torch.ones(1, 3)}, r"expected \[1, 2\]"),
    ({"input_ids": torch.ones(1, 2, dtype=torch.long), "position_ids": torch.ones(1, 3)}, "position_ids"),
    ({"input_ids": torch.ones(1, 2, dtype=torch.long), "output_attentions": True}, "attention weights"),
])
def test_what_forward_refuses(model, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model(**inputs)


def test_a_cache_of_another_batch_is_refused(model) -> None:
    cache = model(random_ids(2, 4)).past_key_values
    with pytest.raises(UsageError, match="holds 2 sequences, and input_ids 3"):
        model(random_ids(3, 1), past_key_values=cache)
    assert cache.get_seq_length() == 4
    with pytest.raises(UsageError, match="extended by the graph"):
        cache.update(torch.zeros(1), torch.zeros(1), 0)


def test_other_devices_and_dtypes_and_training_are_refused(model) -> None:
    assert model.to("cpu") is model and model.to(torch.float32) is model and model.eval() is model
    with pytest.raises(UsageError, match="runs on provider cpu"):
        model.to("cuda")
    with pytest.raises(UsageError, match="float16"):
        model.to(dtype=torch.float16)
    with pytest.raises(UsageError, match="can't be trained"):
        model.train()


# ---- opening, saving, importing


@pytest.mark.parametrize(("options", "message"), [
    ({"export": True}, "youtu-onnx export --model"),
    ({"torch_dtype": torch.float16, "device_map": "auto"}, "device_map, torch_dtype: no such option"),
    ({"revision": "main"}, "it is not on a hub"),
    ({"provider": "abacus"}, "abacus"),
])
def test_what_from_pretrained_refuses(nano_bundle, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ORTYoutuForCausalLM.from_pretrained(nano_bundle("fp32"), **options)


def test_a_static_cache_is_refused(nano_bundle) -> None:
    with pytest.raises(UsageError, match="buffers of 1,024 tokens"):
        ORTYoutuForCausalLM.from_pretrained(nano_bundle("fp16", target="dml"), provider="cpu")


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        ORTYoutuForCausalLM.from_pretrained(NANO)
    with pytest.raises(BundleError, match="nothing is there"):
        ORTYoutuForCausalLM.from_pretrained(tmp_path / "nowhere")


def test_saving_copies_the_bundle(model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "copy")
    with ORTYoutuForCausalLM.from_pretrained(tmp_path / "copy") as opened:
        assert opened.model.bundle.manifest == model.model.bundle.manifest
        assert opened.config.to_diff_dict() | {"_name_or_path": ""} == model.config.to_diff_dict() | {"_name_or_path": ""}
    with pytest.raises(UsageError):
        model.save_pretrained(tmp_path / "copy")
    with pytest.raises(UsageError, match="hf upload"):
        model.save_pretrained(tmp_path / "other", push_to_hub=True)
    assert not (tmp_path / "other").exists()


def test_the_config_is_the_checkpoints(model, reference) -> None:
    for name in ("model_type", "vocab_size", "kv_lora_rank", "max_position_embeddings", "eos_token_id", "rope_parameters",
                 "num_attention_heads", "architectures"):
        assert getattr(model.config, name) == getattr(reference.config, name), name
    assert model.can_generate() and model.main_input_name == "input_ids" and model.device == torch.device("cpu")


def hub_cache(folder: Path, bundle: Path, repository: str) -> None:
    """``bundle`` as huggingface_hub keeps what it downloaded: blobs, and a snapshot of links to them."""
    root, commit = folder / f"models--{repository.replace('/', '--')}", "ab" * 20
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    (root / "snapshots" / commit).mkdir(parents=True)
    (root / "blobs").mkdir()
    for number, file in enumerate(sorted(bundle.iterdir())):
        shutil.copy(file, root / "blobs" / str(number))
        (root / "snapshots" / commit / file.name).symlink_to(f"../../blobs/{number}")


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges on Windows")
def test_a_bundle_in_the_hubs_cache(nano_bundle, single, model, tmp_path: Path, monkeypatch) -> None:
    hub_cache(tmp_path, nano_bundle("fp32"), "someone/youtu-nano-onnx")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    opened = ORTYoutuForCausalLM.from_pretrained("someone/youtu-nano-onnx", local_files_only=True)
    assert generated(opened, single).tolist() == generated(model, single).tolist()
    with pytest.raises(BundleError, match="not \\(or not wholly\\) in the hub's cache"):
        ORTYoutuForCausalLM.from_pretrained("someone/else", local_files_only=True)


def test_a_bundle_is_fetched_with_its_weights_and_without_code(nano_bundle, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download",
                        lambda repository, **options: asked.append((repository, options)) or str(nano_bundle("fp32")))
    ORTYoutuForCausalLM.from_pretrained("someone/youtu-nano-onnx", revision="v1").close()
    [(repository, options)] = asked
    assert (repository, options["revision"]) == ("someone/youtu-nano-onnx", "v1")
    wanted = {file.name for file in nano_bundle("fp32").iterdir() if file.suffix != ".lock"}
    assert all(any(fnmatch(name, pattern) for pattern in options["allow_patterns"]) for name in wanted)
    assert not any(fnmatch(name, pattern) for name in ("modeling.py", "pytorch_model.bin")
                   for pattern in options["allow_patterns"])


def test_optimums_base_is_the_base_where_it_can_be_imported() -> None:
    base = pytest.importorskip("optimum.modeling_base", exc_type=ImportError)
    assert issubclass(ORTYoutuForCausalLM, base.OptimizedModel)


def test_without_torch_the_package_works_and_the_class_says_what_is_missing(nano_bundle) -> None:
    code = f"""
import sys
for name in ("torch", "transformers"):
    sys.modules[name] = None
import youtu_onnx
from youtu_onnx.errors import YoutuOnnxError
try:
    youtu_onnx.ORTYoutuForCausalLM
except YoutuOnnxError as error:
    assert "youtu-onnx[transformers]" in str(error), error
else:
    raise AssertionError("no error")
with youtu_onnx.load({str(nano_bundle("fp32"))!r}) as model:
    assert model.generate("3 + 4 = ?", greedy=True, max_tokens=4).token_ids
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=NANO.parent.parent.parent)
