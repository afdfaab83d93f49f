"""Operations on the letters of one short word.

A byte-level BPE hides the letters inside tokens, so each derivation first spells the word out.
Most words are invented from syllables: there are enough of them for a held-out word to be new,
and the tokenizer has no whole token for them.
"""

from __future__ import annotations

from random import Random

from youtu_onnx.problems.problem import Problem

FAMILY = "string"

ONSETS = "bcdfghjklmnprstvwz"
VOWELS = "aeiou"
CODAS = "nlrstmpkdbg"
WORDS = (
    "apple lemon bread water river stone house table chair light green black white paper music happy banana tiger "
    "mouse horse sheep cloud night bird fish tree book door ship rain snow sun moon star cat dog cow pig hat cup "
    "pen box bag bus car key map egg ice milk rice salt cake"
)
KNOWN = tuple(WORDS.split())

PHRASES = {
    "reverse": {
        "en": ["Reverse the word {w}.", "Spell {w} backwards.", "What is {w} backwards?", 'Write "{w}" in reverse.'],
        "zh": ["把单词{w}倒过来写。", "反转{w}。", "{w}倒过来是什么？", "请把{w}反过来拼写。"],
    },
    "upper": {
        "en": [
            "Write {w} in capital letters.",
            "Make {w} uppercase.",
            'Convert "{w}" to uppercase.',
            "What is {w} in upper case?",
        ],
        "zh": ["把{w}变成大写。", "{w}的大写是什么？", "请用大写字母写{w}。", "把单词{w}转换成大写。"],
    },
    "count": {
        "en": ["How many times does {c} occur in {w}?", "Count the letter {c} in {w}.", "How many {c} are in the word {w}?"],
        "zh": ["{w}里有几个{c}？", "单词{w}中字母{c}出现几次？", "数一数{w}里有几个字母{c}。"],
    },
    "first": {
        "en": ["What is the first letter of {w}?", "Which letter does {w} start with?", 'Give the first letter of "{w}".'],
        "zh": ["{w}的第一个字母是什么？", "单词{w}以哪个字母开头？", "请给出{w}的首字母。"],
    },
    "last": {
        "en": ["What is the last letter of {w}?", "Which letter does {w} end with?", 'Give the last letter of "{w}".'],
        "zh": ["{w}的最后一个字母是什么？", "单词{w}以哪个字母结尾？", "请给出{w}的末字母。"],
    },
    "length": {
        "en": ["How many letters are in {w}?", "How long is the word {w}?", 'Count the letters of "{w}".'],
        "zh": ["{w}有几个字母？", "单词{w}有多长？", "数一数{w}的字母个数。"],
    },
}


def word(rng: Random) -> str:
    """A known word one time in four, else one or two invented syllables of 3 to 6 letters in all."""
    if rng.random() < 0.25:
        return rng.choice(KNOWN)
    if rng.random() < 0.3:
        return rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
    text = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(2))
    return text + rng.choice(CODAS) if rng.random() < 0.6 else text


def generate(rng: Random, language: str) -> Problem:
    kind = rng.choice(tuple(PHRASES))
    text = word(rng)
    letter = rng.choice(text if rng.random() < 0.65 else "abcdefghiklmnoprstuvw")
    spelled = " ".join(text)
    if kind == "reverse":
        thought, answer = f"{spelled} > {' '.join(reversed(text))}", text[::-1]
    elif kind == "upper":
        thought, answer = spelled, text.upper()
    elif kind == "count":
        running = " ".join(f"{c}{text[: i + 1].count(letter)}" for i, c in enumerate(text))
        thought, answer = f"{letter}: {running}", str(text.count(letter))
    elif kind == "length":
        thought, answer = " ".join(f"{c}{i + 1}" for i, c in enumerate(text)), str(len(text))
    else:
        thought, answer = spelled, text[0] if kind == "first" else text[-1]
    prompt = rng.choice(PHRASES[kind][language]).format(w=text, c=letter)
    # Keyed by the word alone: a held-out word is unseen in every operation.
    return Problem(FAMILY, kind, language, f"word:{text}", prompt, thought, answer)
