"""Verified steps: what a verifier says of a thought, and the arithmetic that all verifiers share."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from youtu_onnx.problems import bounds

Checker = Callable[[Sequence[str], str], Iterator[bool]]

UNREAD = ""
"""In the place of a line beyond bounds: no verifier takes it for valid."""
EXPRESSION = re.compile(r"[0-9+*/()%<>=!-]{1,200}")
QUOTIENT = re.compile(r"(\d+)/(\d+)=(\d+)r(\d+)")


@dataclass(frozen=True)
class Step:
    """One line of a thought, or the answer, and whether it holds and follows."""

    text: str
    valid: bool


def verify(check: Checker, thought: str, answer: str) -> tuple[Step, ...]:
    """The steps of a thought and the answer, in order. Whatever can't be read, or is beyond :mod:`bounds`, is invalid, as is all
    after what can't be read."""
    lines = thought.strip("\n").split("\n")
    verdicts: list[bool] = []
    read = [line if bounds.readable(line) else UNREAD for line in lines[: bounds.LINES]]
    try:
        for verdict in check(read, answer if bounds.readable(answer) else UNREAD):
            verdicts.append(verdict)  # noqa: PERF402 - what was read before an error stays
    except (ValueError, IndexError, KeyError, ArithmeticError):  # the text is a model's: any number may be missing in it
        pass
    if len(read) < len(lines):
        del verdicts[len(read) :]  # what follows of a part doesn't follow of the whole
    verdicts += [False] * (len(lines) + 1 - len(verdicts))
    return tuple(Step(text, valid) for text, valid in zip([*lines, answer], verdicts, strict=True))


def value(expression: str) -> Fraction:
    """The exact value of whole numbers joined by + - * / and brackets. Raises ValueError for anything else."""
    if not EXPRESSION.fullmatch(expression):
        raise ValueError(f"not an expression of whole numbers: {expression!r}")
    try:
        return _value(ast.parse(expression, mode="eval").body)
    except SyntaxError:
        raise ValueError(f"not an expression: {expression!r}") from None


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            return left / right
        if isinstance(node.op, ast.Mod):
            return left % right
    raise ValueError("an expression may hold whole numbers, + - * / % and brackets")


def holds(equation: str) -> bool:
    """Whether "3*4+1=13", "a=b=c" or a division with remainder, "17/5=3r2", is true."""
    quotient = QUOTIENT.fullmatch(equation)
    if quotient:
        a, b, q, r = map(int, quotient.groups())
        return a == b * q + r and 0 <= r < b
    sides = equation.split("=")
    return len(sides) > 1 and len({value(side) for side in sides}) == 1


def sound(parts: Sequence[Step]) -> float:
    """The share of steps that are valid, 0 to 1; 0 where there are none."""
    return sum(step.valid for step in parts) / len(parts) if parts else 0.0
