"""One operation as one line: in one step where the numbers are small, else by the school method with its result.

    8+7=15        47+85:7+5=12,4+8+1=13;132        47*6:7*6=42,4*6+4=28;282        259/4:2/4=0r2,25/4=6r1,19/4=4r3;64r3

The columns are those of `training.nano.arithmetic`.
"""

from __future__ import annotations

import re

from youtu_onnx.problems.nano.arithmetic import add_thought, divide_thought, multiply_thought, subtract_thought
from youtu_onnx.problems.steps import holds

OPERATION = re.compile(r"(\d+)([-+*/])(\d+)")


def add(a: int, b: int) -> str:
    return f"{a}+{b}={a + b}" if min(a, b) < 10 and max(a, b) < 100 else f"{add_thought(a, b)};{a + b}"


def subtract(a: int, b: int) -> str:
    """Needs a >= b."""
    return f"{a}-{b}={a - b}" if b < 10 and a < 100 else f"{subtract_thought(a, b)};{a - b}"


def multiply(a: int, b: int) -> str:
    """Needs a factor of one digit, or factors up to 12, or one that is 10, 100 or 1000 and so on, as 1 and zeros."""
    if max(a, b) <= 12 or any(str(x).rstrip("0") in ("1", "") for x in (a, b)):
        return f"{a}*{b}={a * b}"
    if a < 10 <= b:
        return f"{a}*{b}={b}*{a}:{multiply_thought(b, a).split(':')[1]};{a * b}"
    if b >= 10:
        raise ValueError(f"{a}*{b} takes more than one line; see `long_multiply`")
    return f"{multiply_thought(a, b)};{a * b}"


def divide(a: int, b: int) -> str:
    """The quotient and, where there is one, the remainder; in one step up to the tables of 12."""
    q, r = divmod(a, b)
    result = f"{q}r{r}" if r else str(q)
    return f"{a}/{b}={result}" if q <= 12 and b <= 12 else f"{divide_thought(a, b)};{result}"


def multiply_add(a: int, b: int, c: int) -> str:
    """a*b+c with one digit c: by columns where a has several and b one, c being the first carry."""
    result = a * b + c
    if a < 10 and b < 10:
        return f"{a}*{b}+{c}={result}"
    if b >= 10:
        return f"{a}*{b}+{c}:{a}*{b}={a * b},{add(a * b, c)};{result}" if a * b else f"{a}*{b}+{c}={result}"
    steps, carry = [], c
    for digit in map(int, reversed(str(a))):
        total = digit * b + carry
        steps.append(f"{digit}*{b}+{carry}={total}")
        carry = total // 10
    return f"{a}*{b}+{c}:{','.join(steps)};{result}"


def long_multiply(a: int, b: int) -> list[str]:
    """Partial products by the digits of b, each with its zeros, added one after the other."""
    lines, total = [], 0
    for place, digit in enumerate(map(int, reversed(str(b)))):
        if digit == 0:
            continue
        lines.append(multiply(a, digit))
        part = a * digit * 10**place
        if total:
            lines.append(add(total, part))
        elif place and a * b == part:  # no other part will show the zeros
            lines.append(f"{a * digit}*{10**place}={part}")
        total += part
    return lines


def long_divide(a: int, b: int) -> str:
    """Division by a number of any length, always with its remainder: by columns where that has one digit, else by the multiples
    that are taken away, place by place; in one step where that is easy."""
    q, r = divmod(a, b)
    if q <= 12 or str(b).strip("0") == "1":
        return f"{a}/{b}={q}r{r}"
    if b < 10:
        return f"{divide_thought(a, b)};{q}r{r}"
    parts, rest = [], a
    for place in range(len(str(q)) - 1, -1, -1):
        multiple = q // 10**place % 10 * 10**place
        if multiple:
            parts.append(f"{b}*{multiple}={b * multiple},{rest}-{b * multiple}={rest - b * multiple}")
            rest -= b * multiple
    return f"{a}/{b}:{','.join(parts)};{q}r{r}"


def is_work(line: str) -> bool:
    """Whether a line is one that the functions above write, with true numbers."""
    if ":" not in line:
        return holds(line)
    found = OPERATION.match(line)
    if not found:
        return False
    a, sign, b = int(found[1]), found[2], int(found[3])
    if (sign == "-" and a < b) or (sign == "*" and min(a, b) > 9) or (sign == "/" and b == 0):
        return False
    written = {"+": add, "-": subtract, "*": multiply, "/": divide}[sign](a, b)
    return line == written or (sign == "/" and line == long_divide(a, b))


def head(line: str) -> str:
    """The operation that a line of work is about."""
    return re.split("[:=]", line)[0]
