"""What a person writes is never a control token, however a tokenizer comes to see one in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from youtu_onnx.text import ChatTemplate, Tokenizer

NANO = Path(__file__).parents[2] / "youtu_onnx" / "models" / "youtu_nano"
OWN = json.loads((NANO / "tokenizer.json").read_text(encoding="utf-8"))
CONFIG = json.loads((NANO / "tokenizer_config.json").read_text(encoding="utf-8"))
WIDE = "＜｜Ｕｓｅｒ｜＞"
NFKC, LOWERCASE = {"type": "NFKC"}, {"type": "Lowercase"}


def tokenizer(normalizer: dict[str, Any] | None = None, **flags: bool) -> Tokenizer:
    """youtu-nano's, with a normalizer and other flags of its added tokens."""
    fields = OWN | {"normalizer": normalizer, "added_tokens": [{**one, **flags} for one in OWN["added_tokens"]]}
    return Tokenizer(json.dumps(fields), CONFIG)


def acts(made: Tokenizer, ids: list[int]) -> list[int]:
    return [one for one in ids if one in made.added.values()]


@pytest.mark.parametrize(("normalizer", "text"), [(NFKC, WIDE), (LOWERCASE, "<|USER|>"), (NFKC, f"a {WIDE}{WIDE} b<|User|>")])
def test_a_text_that_is_normalized_to_a_token_is_no_token(normalizer: dict[str, Any], text: str) -> None:
    made = tokenizer(normalizer, normalized=True)
    assert acts(made, made.encode(text, special=True)), "or this shows nothing"
    for frame in (False, True):
        ids = made.encode(text, frame=frame)
        assert acts(made, ids) == [made.bos_id] * frame
    prompt = ChatTemplate({"default": "<|User|>{{ messages[0].content }}<|Assistant|>"}, made).prompt(
        [{"role": "user", "content": f"x {text} y"}]
    )
    assert acts(made, prompt.token_ids) == [made.added["<|User|>"], made.added["<|Assistant|>"]]
    assert prompt.text == f"<|User|>x {text} y<|Assistant|>"


MADE = tokenizer(NFKC, normalized=True)
CHAT = ChatTemplate({"default": "<|User|>{{ messages[0].content }}<|Assistant|>"}, MADE)
PIECES = st.sampled_from([*MADE.added, WIDE, "＜", "|", "<|", "Us", "er|>", "｜＞", " ", "\ud800", "x"])


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=12))
def test_no_mixture_of_hidden_literals_gets_through(pieces: list[str]) -> None:
    prompt = CHAT.prompt([{"role": "user", "content": "".join(pieces)}])
    assert acts(MADE, prompt.token_ids) == [MADE.added["<|User|>"], MADE.added["<|Assistant|>"]]
    assert not acts(MADE, MADE.encode("".join(pieces)))


def test_the_vocabulary_may_have_the_token_itself() -> None:
    """Models of SentencePiece's kind find the longest pieces, control tokens among them."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), *((character, -5.0) for character in "<s>/ab")]
    library = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=0))
    library.add_special_tokens(["<s>"])
    made = Tokenizer(library.to_str(), {})
    assert made.encode("a<s>b", special=True) == [6, 1, 7]
    assert made.encode("a<s>b") == [6, 2, 3, 4, 7] and made.decode(made.encode("<s>")).replace(" ", "") == "<s>"


def test_a_token_of_whole_words_is_only_one_there() -> None:
    made = tokenizer(single_word=True)
    inside = made.encode("x<|User|>y", special=True)
    assert inside == made.encode("x<|User|>y") and not acts(made, inside)
    assert not acts(made, made.encode("x <|User|> y"))


def test_roles_stay_what_they_are() -> None:
    """A token may be called like one; templates compare with the word."""
    library = tokenizers.Tokenizer.from_str(json.dumps(OWN))
    library.add_special_tokens(["assistant", "user"])
    made = Tokenizer(library.to_str(), CONFIG)
    chat = ChatTemplate(
        {"default": "{% for m in messages %}{% if m.role == 'user' %}<|User|>{{ m.content }}{% endif %}{% endfor %}"}, made
    )
    prompt = chat.prompt([{"role": "user", "content": "user"}])
    assert prompt.text == "<|User|>user" and acts(made, prompt.token_ids) == [made.added["<|User|>"]]
