"""Text of tokens that come one at a time, where a decoder looks at more than one: SentencePiece's drop the first space."""

from __future__ import annotations

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders

from youtu_onnx.text import Tokenizer

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
VOCAB = {text: id_ for id_, text in enumerate(["<unk>", "</s>", *BYTES, "▁a", "▁", "b", "▁▁", "é", "##c", "."])}
SENTENCEPIECE = decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
)


def made(decoder: decoders.Decoder | None) -> Tokenizer:
    library = tokenizers.Tokenizer(tokenizers.models.BPE(VOCAB, [], unk_token="<unk>", byte_fallback=True))
    library.add_special_tokens(["</s>"])
    if decoder is not None:
        library.decoder = decoder
    return Tokenizer(library.to_str(), {})


def streamed(tokenizer: Tokenizer, ids: list[int], skip_special: bool = False) -> str:
    stream = tokenizer.stream(skip_special=skip_special)
    return "".join([*map(stream.push, ids), stream.finish()])


WORDS = st.lists(st.sampled_from(["▁a", "▁", "b", "▁▁", "é", "</s>", "."]), max_size=20)


@pytest.mark.parametrize("decoder", [SENTENCEPIECE, decoders.Metaspace(), decoders.Fuse(), None], ids=str)
@settings(max_examples=60, deadline=None)
@given(words=WORDS, skip_special=st.booleans())
def test_pieces_join_to_the_decoded_text(decoder: decoders.Decoder | None, words: list[str], skip_special: bool) -> None:
    tokenizer, ids = made(decoder), [VOCAB[word] for word in words]
    assert streamed(tokenizer, ids, skip_special) == tokenizer.decode(ids, skip_special=skip_special)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="é中😀\u202f", min_size=1, max_size=6))
def test_characters_of_several_bytes_come_whole(text: str) -> None:
    tokenizer, ids = made(SENTENCEPIECE), [VOCAB[f"<0x{byte:02X}>"] for byte in text.encode()]
    stream = tokenizer.stream()
    pieces = [stream.push(one) for one in ids]
    assert "".join(pieces) == text == tokenizer.decode(ids) and all("\ufffd" not in piece for piece in pieces)


def test_a_long_run_of_broken_bytes_costs_no_more_and_more() -> None:
    stream = made(SENTENCEPIECE).stream()
    text = "".join(stream.push(VOCAB["<0xFF>"]) for _ in range(400))
    assert len(stream._pending) < 64 and set(text + stream.finish()) == {"\ufffd"}
