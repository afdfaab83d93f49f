"""Knights, who always tell the truth, and knaves, who always lie: cases in order until one fits."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems.problem import Problem
from youtu_onnx.problems.story_words import people

FAMILY = "knights"
KINDS = ("knights",)
STATEMENT = re.compile(r"knights ((?:[A-D]:[A-D01=#&|]+;?)+)")
PEOPLE = ((2, 2), (2, 3), (3, 3), (4, 4))
INTRO = {
    "en": [
        "Knights always tell the truth and knaves always lie.",
        "On an island, knights never lie and knaves never tell the truth.",
        "Each person is a knight (truthful) or a knave (liar).",
    ],
    "zh": ["骑士总说真话，无赖总说假话。", "岛上的骑士只说真话，无赖只说谎。", "每个人不是说真话的骑士就是说假话的无赖。"],
}
ASK = {"en": ["Who is what?", "Who is a knight and who is a knave?"], "zh": ["他们各是什么人？", "谁是骑士，谁是无赖？"]}
KIND_WORDS = {"en": ("knave", "knight"), "zh": ("无赖", "骑士")}


def claim(rng: Random, speaker: int, count: int, level: int) -> str:
    """What somebody says: X=1 X=0, X=Y X#Y, or two such of & or |."""
    others = [n for n in range(count) if n != speaker]
    shape = rng.choice(("is", "is", "same") if level < 3 else ("is", "is", "same", "two"))
    if shape == "is":
        return f"{'ABCD'[rng.choice(others)]}={rng.randint(0, 1)}"
    a, b = sorted(rng.sample(range(count), 2))
    if shape == "same":
        return f"{'ABCD'[a]}{rng.choice('=#')}{'ABCD'[b]}"
    return f"{'ABCD'[a]}={rng.randint(0, 1)}{rng.choice('&|')}{'ABCD'[b]}={rng.randint(0, 1)}"


def truth(text: str, case: str) -> bool:
    """Whether a claim holds in a case, "101" for A and C knights. Raises ValueError for what isn't a claim."""
    if "&" in text or "|" in text:
        sign = "&" if "&" in text else "|"
        left, right = (truth(part, case) for part in text.split(sign))
        return (left and right) if sign == "&" else (left or right)
    found = re.fullmatch(r"([A-D])([=#])([A-D01])", text)
    if not found:
        raise ValueError(f"not a claim: {text!r}")
    value = {"ABCD"[i]: v for i, v in enumerate(case)} | {"0": "0", "1": "1"}
    return (value[found[1]] == value[found[3]]) == (found[2] == "=")


def trial(claims: Sequence[str], case: str) -> str:
    """The truth of each claim in turn, up to the first that contradicts its speaker's kind: "110:A1B0x", or "...ok"."""
    out = f"{case}:"
    for index, text in enumerate(claims):
        true = truth(text, case)
        out += f"{'ABCD'[index]}{int(true)}"
        if true != (case[index] == "1"):
            return out + "x"
    return out + "ok"


def cases(count: int) -> list[str]:
    return ["".join(bits) for bits in itertools.product("10", repeat=count)]


def solutions(claims: Sequence[str]) -> list[str]:
    return [case for case in cases(len(claims)) if trial(claims, case).endswith("ok")]


def lines(claims: Sequence[str]) -> list[str]:
    out = ["knights " + ";".join(f"{'ABCD'[i]}:{c}" for i, c in enumerate(claims))]
    for case in cases(len(claims)):
        out.append(trial(claims, case))
        if out[-1].endswith("ok"):
            return out
    return out


def said(text: str, names: Sequence[str], language: str) -> str:
    for sign, word in (("&", (" and ", "，并且")), ("|", (" or ", "，或者"))):
        if sign in text:
            return word[language == "zh"].join(said(part, names, language) for part in text.split(sign))
    first, sign, second = names["ABCD".index(text[0])], text[1], text[2]
    if second in "01":
        kind = KIND_WORDS[language][int(second)]
        return f"{first} is a {kind}" if language == "en" else f"{first}是{kind}"
    other, same = names["ABCD".index(second)], sign == "="
    if language == "en":
        return f"{first} and {other} are {'the same' if same else 'different'}"
    return f"{first}和{other}{'是同一种人' if same else '不是同一种人'}"


def generate(rng: Random, language: str, level: int) -> Problem:
    count = rng.randint(*PEOPLE[level - 1])
    while True:
        claims = [claim(rng, speaker, count, level) for speaker in range(count)]
        found = solutions(claims)
        if len(found) == 1:
            break
    names = list("ABCD"[:count]) if rng.random() < 0.5 else people(rng, language, count)
    if language == "en":
        speech = [f"{n} says: {said(c, names, language)}." for n, c in zip(names, claims, strict=True)]
    else:
        speech = [f"{n}说：{said(c, names, language)}。" for n, c in zip(names, claims, strict=True)]
    space = " " if language == "en" else ""
    prompt = space.join([rng.choice(INTRO[language]), *speech, rng.choice(ASK[language])])
    kinds = [KIND_WORDS[language][int(bit)] for bit in found[0]]
    answer = ", ".join(f"{n}: {k}" for n, k in zip(names, kinds, strict=True))
    return Problem(FAMILY, f"knights_{count}", language, "knights:" + ";".join(claims), prompt, "\n".join(lines(claims)), answer)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    claims = [part.split(":")[1] for part in found[1].split(";")]
    if [part[0] for part in found[1].split(";")] != list("ABCD"[: len(claims)]):
        raise ValueError("claims out of order")
    yield True
    tried = set()
    for line in written[1:]:
        case = line.split(":")[0]
        yield case not in tried and len(case) == len(claims) and line == trial(claims, case)
        tried.add(case)
    kinds = [part.split(": ")[1] for part in answer.split(", ")]
    bits = "".join(str(int(k in ("knight", "骑士"))) for k in kinds)
    known = all(k in (*KIND_WORDS["en"], *KIND_WORDS["zh"]) for k in kinds)
    yield known and written[-1] == f"{bits}:" + "".join(f"{'ABCD'[i]}{b}" for i, b in enumerate(bits)) + "ok"
