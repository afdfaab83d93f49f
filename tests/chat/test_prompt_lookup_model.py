"""Prompt lookup with a real model, in Python and by the commands: replies are those without it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import youtu_onnx
from tests.cli_process import failed, run
from youtu_onnx.chat.model import Model
from youtu_onnx.chat.prompt_lookup import PromptLookup
from youtu_onnx.chat.result import Result
from youtu_onnx.core.errors import UsageError
from youtu_onnx.evaluate.problem import HELD_OUT, read_problems

LISTS = "Sort the list [41, 92, 13, 74, 55, 26, 37, 88]."


@pytest.fixture(scope="module", params=["fp32", "int4"])
def model(request: pytest.FixtureRequest, nano_bundle: Callable[..., Path]) -> Iterator[Model]:
    with youtu_onnx.load(nano_bundle(request.param)) as opened:
        yield opened


def replies(model: Model, prompt: Any, **choices: Any) -> tuple[Result, Result]:
    made = []
    for lookup in (None, PromptLookup()):
        model.reset()
        model.prompt_lookup = lookup
        made.append(model.generate(prompt, max_tokens=100, **choices))
    return made[0], made[1]


def test_greedy_replies_of_a_model_are_the_same(model: Model) -> None:
    accepted, same = 0, []
    for prompt in [LISTS, *(problem.prompt for problem in read_problems(HELD_OUT)[::9])]:
        plain, drafted = replies(model, prompt, greedy=True)
        same.append(drafted.token_ids == plain.token_ids)
        accepted += drafted.speculation.accepted
    assert accepted > 20
    assert all(same) or (rounds(model) and np.mean(same) > 0.9)


def test_sampled_replies_of_a_model_are_the_same(model: Model) -> None:
    same = []
    for seed in range(12):
        plain, drafted = replies(model, LISTS, temperature=1.2, top_k=20, seed=seed)
        same.append(drafted.token_ids == plain.token_ids)
    assert all(same) or (rounds(model) and np.mean(same) > 0.5)


def rounds(model: Model) -> bool:
    """Whether activations are rounded to int8: then a last bit of a sum may decide a draw that is near a limit."""
    return model.bundle.manifest.recipe.quantized


def test_a_chat_goes_on_as_without(model: Model) -> None:
    conversations = []
    for lookup in (None, PromptLookup()):
        model.reset()
        model.prompt_lookup = lookup
        messages: list[dict[str, str]] = []
        turns = []
        for question in (LISTS, "What is 47 + 38?", LISTS):
            messages.append({"role": "user", "content": question})
            reply = model.generate(messages, greedy=True, max_tokens=100)
            assert model.decoder.length == len(model._cache.ids)
            turns.append((reply.token_ids, reply.timing.reused_tokens, [*model._cache.ids]))
            messages.append({"role": "assistant", "content": reply.answer})
        conversations.append(turns)
    assert conversations[0] == conversations[1]


def test_both_forms_of_cache_rewind_drafts(nano_bundle: Callable[..., Path]) -> None:
    with youtu_onnx.load(nano_bundle("fp32", "expanded")) as model:
        plain, drafted = replies(model, LISTS, greedy=True)
        assert drafted.token_ids == plain.token_ids and drafted.speculation.accepted


def test_loading_with_prompt_lookup(nano_bundle: Callable[..., Path]) -> None:
    for chosen, expected in ((True, PromptLookup()), (PromptLookup(3), PromptLookup(3)), (False, None)):
        with youtu_onnx.load(nano_bundle("int4"), prompt_lookup=chosen) as model:
            assert model.prompt_lookup == expected
    with pytest.raises(UsageError, match="genai"):
        youtu_onnx.load(nano_bundle("int4"), runtime="genai", prompt_lookup=True)


# ---- the commands


def test_the_commands_take_it(nano_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle = nano_bundle("int4")
    plain = json.loads(run("generate", bundle, "-p", LISTS, "--json").stdout)
    drafted = json.loads(run("generate", bundle, "-p", LISTS, "--json", "--prompt-lookup", "--draft-tokens", "4").stdout)
    counts = drafted.pop("speculation")
    assert drafted == plain and counts["accepted"] > 0
    assert counts["tokens_per_step"] == (counts["steps"] + counts["accepted"]) / counts["steps"] > 1
    talk = [
        run("chat", bundle, *options, stdin=f"{LISTS}\n{LISTS}\n".encode()).stdout
        for options in ((), ("--prompt-lookup",), ("--no-prompt-lookup",))
    ]
    assert talk[0] == talk[1] == talk[2] != b""
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(HELD_OUT.read_text(encoding="utf-8").splitlines(keepends=True)[:5]), encoding="utf-8")
    marks = [run("evaluate", bundle, "--problems", problems, "--json", *options).stdout for options in ((), ("--prompt-lookup",))]
    assert marks[0] == marks[1] != b""


@pytest.mark.parametrize("command", [("generate", "-p", "x"), ("chat",), ("evaluate",)])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--draft-tokens", "4"], ["--prompt-lookup"]),
        (["--no-prompt-lookup", "--draft-tokens", "4"], ["--prompt-lookup"]),
        (["--prompt-lookup", "--draft-tokens", "0"], ["1 to 64"]),
        (["--prompt-lookup", "--draft-tokens", "65"], ["1 to 64"]),
        (["--prompt-lookup", "--runtime", "genai"], ["genai", "--runtime ort"]),
    ],
)
def test_mistakes_are_explained(
    nano_bundle: Callable[..., Path], command: tuple[str, ...], options: list[str], words: list[str]
) -> None:
    text = failed(run(command[0], nano_bundle("int4"), *command[1:], *options), 2)
    assert all(word in text for word in words), text
