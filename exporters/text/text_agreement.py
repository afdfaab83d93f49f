"""Texts → ids → texts, by a bundle's tokenizer and by transformers'."""

from __future__ import annotations

from collections.abc import Sequence

from youtu_onnx.exporters.text.corpus import TEXTS, token_texts
from youtu_onnx.exporters.text.sentences import OTHERWISE, ids, ids_differ, narrowed, short, texts_differ
from youtu_onnx.exporters.text.theirs import Theirs
from youtu_onnx.text import Tokenizer


def text_difference(theirs: Theirs, ours: Tokenizer) -> str | None:
    """A sentence with a text, and what the two make of it; None where they agree on all of the corpus."""
    found = _difference(theirs, ours)
    return found and f"{OTHERWISE}: {found}"


def _difference(theirs: Theirs, ours: Tokenizer) -> str | None:

    def differs(text: str) -> bool:
        return ours.encode(text, special=True) != theirs.encode(text)

    for text in (*TEXTS, *token_texts(theirs.added)):
        if differs(text):
            text = narrowed(text, differs)
            return ids_differ(short(text), theirs.encode(text), ours.encode(text, special=True))
        framed = theirs.encode(text, frame=True), ours.encode(text, special=True, frame=True)
        if framed[0] != framed[1]:
            return ids_differ(f"{short(text)} with what goes around a text", *framed)
        found = _decoding_difference(theirs, ours, framed[0])
        if found:
            return found
    return None


def _decoding_difference(theirs: Theirs, ours: Tokenizer, listed: Sequence[int]) -> str | None:
    for skip in (False, True):
        both = theirs.decode(listed, skip_special=skip), ours.decode(listed, skip_special=skip)
        if both[0] != both[1]:
            return texts_differ(f"the text of {ids(listed)}{' without special tokens' * skip}", *both)
        if ours.joins:
            continue
        stream = ours.stream(skip_special=skip)
        pieces = "".join([*map(stream.push, listed), stream.finish()])
        if pieces != both[1]:
            came = f"{short(pieces)} where its tokens come one at a time, as no streamed text may"
            return f"the decoder makes {short(both[1])} of {ids(listed)}, and {came}"
    return None
