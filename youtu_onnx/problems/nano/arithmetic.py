"""Sums, differences, products and quotients with a digit-by-digit derivation.

A model of a few million parameters can't add three-digit numbers in one step, but it can apply
the school method: each step below reads two digits and a carry and writes one small result.
Every derivation begins by copying the operation, so all wordings meet in one notation.
"""

from __future__ import annotations

from random import Random

from youtu_onnx.problems.problem import Problem

FAMILY = "arithmetic"
# Products and quotients rest on many remembered facts, sums on few: they get more practice.
KINDS = ("add", "subtract", "multiply", "multiply", "divide", "divide", "divide")

PHRASES = {
    "add": {
        "en": [
            "What is {a} + {b}?",
            "{a} + {b} = ?",
            "{a}+{b}",
            "Add {a} and {b}.",
            "Calculate {a} + {b}.",
            "What is {a} plus {b}?",
            "How much is {a} plus {b}?",
            "Find the sum of {a} and {b}.",
        ],
        "zh": [
            "{a}+{b}等于多少？",
            "{a}加{b}等于多少？",
            "计算{a}+{b}。",
            "{a} + {b} = ?",
            "请计算{a}加{b}。",
            "{a}加上{b}是多少？",
            "求{a}与{b}的和。",
        ],
    },
    "subtract": {
        "en": [
            "What is {a} - {b}?",
            "{a} - {b} = ?",
            "{a}-{b}",
            "Subtract {b} from {a}.",
            "Calculate {a} - {b}.",
            "What is {a} minus {b}?",
            "How much is {a} minus {b}?",
            "Find the difference of {a} and {b}.",
        ],
        "zh": [
            "{a}-{b}等于多少？",
            "{a}减{b}等于多少？",
            "计算{a}-{b}。",
            "{a} - {b} = ?",
            "请计算{a}减{b}。",
            "{a}减去{b}是多少？",
            "求{a}与{b}的差。",
        ],
    },
    "multiply": {
        "en": [
            "What is {a} * {b}?",
            "{a} * {b} = ?",
            "{a}*{b}",
            "{a} × {b} = ?",
            "Multiply {a} by {b}.",
            "Calculate {a} × {b}.",
            "What is {a} times {b}?",
            "Find the product of {a} and {b}.",
        ],
        "zh": [
            "{a}×{b}等于多少？",
            "{a}乘以{b}等于多少？",
            "计算{a}×{b}。",
            "{a} * {b} = ?",
            "请计算{a}乘{b}。",
            "{a}乘{b}是多少？",
            "求{a}与{b}的积。",
        ],
    },
    "divide": {
        "en": [
            "What is {a} / {b}?",
            "{a} / {b} = ?",
            "{a}/{b}",
            "{a} ÷ {b} = ?",
            "Divide {a} by {b}.",
            "Calculate {a} ÷ {b}.",
            "What is {a} divided by {b}?",
        ],
        "zh": [
            "{a}÷{b}等于多少？",
            "{a}除以{b}等于多少？",
            "计算{a}÷{b}。",
            "{a} / {b} = ?",
            "请计算{a}除以{b}。",
            "{a}除以{b}是多少？",
        ],
    },
}


def add_thought(a: int, b: int) -> str:
    """Column addition from the units, each column with the carry of the one before."""
    steps, carry = [], 0
    width = max(len(str(a)), len(str(b)))
    for place in range(width):
        x, y = a // 10**place % 10, b // 10**place % 10
        total = x + y + carry
        steps.append(f"{x}+{y}={total}" if place == 0 else f"{x}+{y}+{carry}={total}")
        carry = total // 10
    return f"{a}+{b}:" + ",".join(steps)


def subtract_thought(a: int, b: int) -> str:
    """Column subtraction from the units; the upper number of a step already holds the borrow. Needs a >= b."""
    steps, borrow = [], 0
    for place in range(len(str(a))):
        x, y = a // 10**place % 10 - borrow, b // 10**place % 10
        borrow = int(x < y)
        x += 10 * borrow
        steps.append(f"{x}-{y}={x - y}")
    return f"{a}-{b}:" + ",".join(steps)


def multiply_thought(a: int, b: int) -> str:
    """Multiplication by one digit from the units, carry added at each step."""
    steps, carry = [], 0
    for place in range(len(str(a))):
        x = a // 10**place % 10
        total = x * b + carry
        steps.append(f"{x}*{b}={total}" if place == 0 else f"{x}*{b}+{carry}={total}")
        carry = total // 10
    return f"{a}*{b}:" + ",".join(steps)


def divide_thought(a: int, b: int) -> str:
    """Long division by one digit from the left; each step hands its remainder on."""
    steps, rest = [], 0
    for digit in str(a):
        part = rest * 10 + int(digit)
        rest = part % b
        steps.append(f"{part}/{b}={part // b}r{rest}")
    return f"{a}/{b}:" + ",".join(steps)


def quotient(a: int, b: int, language: str) -> str:
    """ "64" or "64 r 3" in English, "64余3" in Chinese."""
    if a % b == 0:
        return str(a // b)
    return f"{a // b} r {a % b}" if language == "en" else f"{a // b}余{a % b}"


def number(rng: Random, digits: int) -> int:
    """A number of exactly that many digits (0 to 9 for one)."""
    return rng.randint(0 if digits == 1 else 10 ** (digits - 1), 10**digits - 1)


def generate(rng: Random, language: str) -> Problem:
    kind = rng.choice(KINDS)
    if kind in ("add", "subtract"):
        a, b = (number(rng, rng.choice((1, 2, 2, 3, 3))) for _ in range(2))
        if kind == "subtract" and a < b:
            a, b = b, a
    else:
        a, b = number(rng, rng.choice((1, 2, 2, 3, 3))), rng.randint(2, 9)
    thought = {"add": add_thought, "subtract": subtract_thought, "multiply": multiply_thought, "divide": divide_thought}
    answers = {"add": a + b, "subtract": a - b, "multiply": a * b}
    answer = quotient(a, b, language) if kind == "divide" else str(answers[kind])
    prompt = rng.choice(PHRASES[kind][language]).format(a=a, b=b)
    return Problem(FAMILY, kind, language, f"{kind}:{a}:{b}", prompt, thought[kind](a, b), answer)
