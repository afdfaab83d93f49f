"""Word problems of one to four operations in both languages: chains of events, prices, distances, comparisons, sharing.

The thought begins with the whole expression; then one operation a line, products and quotients before sums.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems import story_words as words
from youtu_onnx.problems import work
from youtu_onnx.problems.problem import Problem
from youtu_onnx.problems.steps import value

FAMILY = "word_problem"
KINDS = ("chain", "chain", "price", "distance", "compare", "share")
STATEMENT = re.compile(r"story ([0-9+*/()-]+)")
NUMBERS = (12, 30, 60, 100)

SIMPLE = re.compile(r"(?<![\d*/])(\d+)([*/])(\d+)(?![\d])")
LEFT = re.compile(r"^(\d+)([-+])(\d+)(?![\d*/])")


def next_operation(expression: str) -> tuple[int, str, int, int, int]:
    """(a, sign, b, start, end) of what is worked out first: inside brackets, then * and /, then from the left."""
    bracket = re.search(r"\(([^()]+)\)", expression)
    if bracket and not bracket[1].isdigit():
        a, sign, b, start, end = next_operation(bracket[1])
        return a, sign, b, bracket.start(1) + start, bracket.start(1) + end
    found = SIMPLE.search(expression) or LEFT.search(expression)
    if not found:
        raise ValueError(f"nothing to work out in {expression!r}")
    return int(found[1]), found[2], int(found[3]), found.start(), found.end()


def operate(a: int, sign: str, b: int) -> tuple[list[str], int]:
    """The lines of one operation and its result, which is a whole number."""
    if sign == "+":
        return [work.add(a, b)], a + b
    if sign == "-":
        return [work.subtract(a, b)], a - b
    if sign == "*":
        easy = min(a, b) < 10 or max(a, b) <= 12 or any(str(x).rstrip("0") in ("1", "") for x in (a, b))
        return ([work.multiply(a, b)] if easy else work.long_multiply(a, b)), a * b
    return [work.divide(a, b)], a // b


def lines(expression: str) -> list[str]:
    out = [f"story {expression}"]
    while not expression.isdigit():
        a, sign, b, start, end = next_operation(expression)
        steps, result = operate(a, sign, b)
        out += steps
        expression = re.sub(r"\((\d+)\)", r"\1", f"{expression[:start]}{result}{expression[end:]}")
    return out


def chain(rng: Random, teller: words.Teller, level: int) -> str:
    """Somebody's things become more and fewer; returns the expression."""
    most, amount = NUMBERS[level - 1], rng.randint(5, NUMBERS[level - 1])
    expression = str(amount)
    teller.tell("has", a=amount)
    for _ in range(level):
        event = rng.choice(("gain", "lose", "groups", "lose", "gain"))
        if event == "lose" and amount > 2:
            b = rng.randint(1, min(amount - 1, most))
            amount, expression = amount - b, f"{expression}-{b}"
            teller.tell("lose", b=b)
        elif event == "groups":
            b, c = rng.randint(2, 9), rng.randint(2, 12)
            amount, expression = amount + b * c, f"{expression}+{b}*{c}"
            teller.tell("groups", b=b, c=c)
        else:
            b = rng.randint(1, most)
            amount, expression = amount + b, f"{expression}+{b}"
            teller.tell("gain", b=b)
    teller.tell("left")
    return expression


def price(rng: Random, teller: words.Teller, level: int) -> str:
    b, c = rng.randint(2, 9), rng.randint(2, min(NUMBERS[level - 1], 40))
    expression, total = f"{b}*{c}", b * c
    teller.tell("buy", b=b, c=c)
    if level >= 2:
        d = rng.randint(2, NUMBERS[level - 1])
        expression, total = f"{expression}+{d}", total + d
        teller.tell("buy_one", d=d)
    if level >= 4:
        b, c = rng.randint(2, 9), rng.randint(2, 40)
        expression, total = f"{expression}+{b}*{c}", total + b * c
        teller.tell("buy_other", b=b, c=c)
    if level >= 3 or (level == 2 and rng.random() < 0.3):
        paid = next(n for n in (10, 20, 50, 100, 200, 500, 1000, 2000) if n > total)
        teller.tell("pay", e=paid)
        teller.tell("change")
        return f"{paid}-({expression})"
    teller.tell("cost")
    return expression


def distance(rng: Random, teller: words.Teller, level: int) -> str:
    speed, hours = rng.randint(3, NUMBERS[level - 1]), rng.randint(2, 9)
    teller.tell("drive", a=speed, b=hours)
    expression = f"{speed}*{hours}"
    for _ in range(min(level - 1, 2)):
        other, more = rng.randint(3, NUMBERS[level - 1]), rng.randint(2, 9)
        teller.tell("drive_on", a=other, b=more)
        expression += f"+{other}*{more}"
    teller.tell("how_far")
    return expression


def compare(rng: Random, teller: words.Teller, level: int) -> str:
    a, b = rng.randint(3, NUMBERS[level - 1]), rng.randint(2, NUMBERS[level - 1])
    teller.tell("has", a=a)
    if rng.random() < 0.5:
        b = rng.randint(2, 5)
        teller.tell("times", b=b)
        other = f"{a}*{b}"
    elif rng.random() < 0.5 and b < a:
        teller.tell("fewer", b=b)
        other = f"{a}-{b}"
    else:
        teller.tell("more", b=b)
        other = f"{a}+{b}"
    if level == 1:
        teller.tell("other")
        return other
    expression = f"{a}+{other}"
    if level >= 3:
        c = rng.randint(2, NUMBERS[level - 1])
        teller.tell("third", c=c)
        expression = f"{expression}+{c}"
    teller.tell("together")
    return expression if "*" in other or level >= 3 else f"{a}+({other})"


def share(rng: Random, teller: words.Teller, level: int) -> str:
    people, each = rng.randint(2, 9), rng.randint(2, (10, 15, 30, 60)[level - 1])
    total = people * each
    if level == 1:
        teller.tell("has", a=total)
        teller.tell("divide", b=people)
        teller.tell("each")
        return f"{total}/{people}"
    if level == 2:
        first = rng.randint(1, total - 1)
        teller.tell("has", a=first)
        teller.tell("gain", b=total - first)
        expression = f"({first}+{total - first})/{people}"
    else:
        b, c = rng.randint(2, 9), rng.randint(2, 12)
        rest = rng.randint(1, 30)
        total = (b * c + rest) // people * people
        rest = total - b * c
        if rest <= 0:
            rest += people * -(rest // people - 1)
        teller.tell("has", a=rest)
        teller.tell("groups", b=b, c=c)
        expression = f"({rest}+{b}*{c})/{people}"
    teller.tell("divide", b=people)
    if level == 4:
        extra = rng.randint(2, 60)
        teller.tell("friend_has", c=extra)
        teller.tell("friend_now")
        return f"{expression}+{extra}"
    teller.tell("each")
    return expression


PLOTS = {"chain": chain, "price": price, "distance": distance, "compare": compare, "share": share}


def generate(rng: Random, language: str, level: int) -> Problem:
    return tell(rng, language, level, words.NAMES)


def elsewhere(rng: Random, language: str, level: int) -> Problem:
    """The same stories about people and things that training never names, for measuring."""
    return tell(rng, language, level, words.OTHER_NAMES)


def tell(rng: Random, language: str, level: int, cast: words.Cast) -> Problem:
    kind = rng.choice(KINDS)
    teller = words.Teller(rng, language, cast)
    expression = PLOTS[kind](rng, teller, level)
    thought = lines(expression)
    answer = str(value(expression))
    return Problem(FAMILY, kind, language, f"story:{expression}", teller.text(), "\n".join(thought), answer)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    result = value(found[1])
    expected = lines(found[1])
    yield True
    for line in written[1:]:
        yield line in expected and work.is_work(line)
    yield answer == str(result) and written[-1] == expected[-1]
