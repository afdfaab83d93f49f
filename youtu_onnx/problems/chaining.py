"""Rules and facts: does something follow? Part of the family `logic`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems.problem import Problem
from youtu_onnx.problems.story_words import people

STATEMENT = re.compile(r"rules ({rule}(?:;{rule})*)\|([^|]+)\|([^|]+)".format(rule="[^;|>&]+(?:&[^;|>&]+)?>[^;|>&]+"))
NONE = "no more"

ADJECTIVES = {
    "en": ["kind", "big", "red", "cold", "quiet", "young", "brave", "green", "rich", "tall", "happy", "strong"],
    "zh": ["善良", "高大", "勇敢", "安静", "年轻", "富有", "快乐", "强壮", "聪明", "勤劳", "诚实", "谦虚"],
}
LETTERS = list("ABCDEFGHKM")
ANSWERS = {"en": ("yes", "unknown"), "zh": ("是", "不能确定")}

Rule = tuple[tuple[str, ...], str]


def formal(rule: Rule) -> str:
    return f"{'&'.join(rule[0])}>{rule[1]}"


def derivation(rules: Sequence[Rule], facts: Sequence[str], goal: str) -> list[str]:
    """In each round the first rule that gives something new, until the goal is there or nothing more follows."""
    known, lines = list(facts), list[str]()
    while goal not in known:
        rule = next((r for r in rules if r[1] not in known and all(p in known for p in r[0])), None)
        if rule is None:
            return [*lines, NONE]
        known.append(rule[1])
        lines.append(formal(rule))
    return lines


def spoken(rules: Sequence[Rule], facts: Sequence[str], goal: str, language: str, rng: Random) -> str:
    """About letters that are true or not, or about what somebody is like."""
    name = people(rng, language, 1)[0]
    if language == "en":
        if goal in LETTERS:
            said = [f"If {' and '.join(p)} then {q}." for p, q in rules]
            return " ".join([*said, f"{' and '.join(facts)} {'is' if len(facts) == 1 else 'are'} true. Is {goal} true?"])
        pattern = rng.choice(["If someone is {} then they are {}.", "All {} people are {}.", "Whoever is {} is {}."])
        said = [pattern.format(" and ".join(p), q) for p, q in rules]
        return " ".join([*said, f"{name} is {' and '.join(facts)}. Is {name} {goal}?"])
    if goal in LETTERS:
        said = [f"如果{'和'.join(p)}成立，那么{q}成立。" for p, q in rules]
        return "".join([*said, f"已知{'和'.join(facts)}成立。{goal}成立吗？"])
    pattern = rng.choice(["{}的人都{}。", "如果一个人{}，那么他{}。", "凡是{}的都{}。"])
    return "".join([*(pattern.format("并且".join(p), q) for p, q in rules), f"{name}{'并且'.join(facts)}。{name}{goal}吗？"])


def generate(rng: Random, language: str, level: int) -> Problem:
    length = (rng.randint(1, 2), rng.randint(2, 3), rng.randint(3, 4), 6)[level - 1]
    words = rng.sample(LETTERS if rng.random() < 0.5 else ADJECTIVES[language], min(10, length + 4))
    extra, given, chain = words[length + 2 :], words[length + 1], words[: length + 1]
    rules: list[Rule] = []
    for p, q in itertools.pairwise(chain):
        rules.append(((p, given), q) if level > 1 and rng.random() < 0.3 else ((p,), q))
    follows = rng.random() < 0.6
    if not follows:  # one link of the chain hangs on something that isn't known
        broken = rng.randrange(length)
        rules[broken] = ((extra[0],), rules[broken][1])
    if level > 1:
        rules.append(((rng.choice(chain),), extra[1]))
    rng.shuffle(rules)
    facts = [chain[0], given] if any(given in r[0] for r in rules) else [chain[0]]
    rng.shuffle(facts)
    lines = derivation(rules, facts, chain[-1])
    statement = f"rules {';'.join(map(formal, rules))}|{','.join(facts)}|{chain[-1]}"
    answer = ANSWERS[language][0 if lines[-1] != NONE else 1]
    prompt = spoken(rules, facts, chain[-1], language, rng)
    return Problem("logic", "deduce", language, f"deduce:{statement}", prompt, "\n".join([statement, *lines]), answer)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    rules = [(tuple(left.split("&")), right) for left, right in (r.split(">") for r in found[1].split(";"))]
    known, goal, ended = set(found[2].split(",")), found[3], False
    yield True
    for line in written[1:]:
        if line == NONE:
            ended = goal not in known and not any(r[1] not in known and known.issuperset(r[0]) for r in rules)
            yield ended
            continue
        rule = next((r for r in rules if formal(r) == line), None)
        valid = rule is not None and rule[1] not in known and known.issuperset(rule[0])
        yield valid
        if rule is not None and valid:
            known.add(rule[1])
    yield goal in known if answer in {a[0] for a in ANSWERS.values()} else answer in {a[1] for a in ANSWERS.values()} and ended
