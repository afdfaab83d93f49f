"""What a small Python program prints, by a trace of its assignments."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems import bounds
from youtu_onnx.problems.problem import Problem

FAMILY = "program"
KINDS = ("straight", "branch", "loop", "list")
STATEMENT = re.compile(r"run ([^\s].*)")
LARGEST = (9, 12, 20, 30)
PROGRAM = re.compile(r"[a-z0-9 \n.,:=+*<>()\[\]-]*")
NESTED = re.compile(r"[(\[][^)\]]*[(\[]")
"""Brackets in brackets, which no such program has, and which parsers may take long for."""

PHRASES = {
    "en": ["What does this program print?\n{p}", "What is the output?\n{p}", "Run this Python code:\n{p}"],
    "zh": ["这个程序输出什么？\n{p}", "下面的代码打印什么？\n{p}", "运行这段Python代码：\n{p}"],
}


def expression(rng: Random, names: Sequence[str], most: int) -> str:
    """A short sum or a product by a small number, of a variable and something else."""
    x = rng.choice(names)
    if rng.random() < 0.3:
        return f"{x} * {rng.randint(2, 4)}"
    other = rng.choice(names) if rng.random() < 0.3 else str(rng.randint(1, most))
    return f"{x} {rng.choice('++-')} {other}"


def straight(rng: Random, level: int) -> list[str]:
    names = rng.sample("abcnmxyz", 2)
    lines = [f"{n} = {rng.randint(1, LARGEST[level - 1])}" for n in names]
    lines += [f"{rng.choice(names)} = {expression(rng, names, LARGEST[level - 1])}" for _ in range(level + (level == 4))]
    return [*lines, f"print({rng.choice(names)})"]


def branch(rng: Random, level: int) -> list[str]:
    x, y = rng.sample("abcnmxyz", 2)
    lines = [f"{n} = {rng.randint(1, LARGEST[level - 1])}" for n in (x, y)]
    for _ in range(max(1, level - 1)):
        test = f"{x} {rng.choice('<>')} {rng.choice((y, str(rng.randint(1, LARGEST[level - 1]))))}"
        lines += [f"if {test}:", f"    {y} = {expression(rng, (x, y), 9)}"]
        if rng.random() < 0.7:
            lines += ["else:", f"    {y} = {expression(rng, (x, y), 9)}"]
    return [*lines, f"print({y})"]


def loop(rng: Random, level: int) -> list[str]:
    i, x = rng.choice("ijk"), rng.choice("abcnmsxyz")
    count = rng.randint(2, (3, 4, 5, 8)[level - 1])
    lines = [f"{x} = {rng.randint(0, LARGEST[level - 1])}", f"for {i} in range({count}):"]
    step = rng.choice((f"{x} + {i}", f"{x} + {rng.randint(2, 9)}", f"{x} - {i}", f"{x} + {i} * 2"))
    if level >= 3 and rng.random() < 0.5:
        return [*lines, f"    if {i} > {rng.randint(0, count - 2)}:", f"        {x} = {step}", f"print({x})"]
    return [*lines, f"    {x} = {step}", f"print({x})"]


def listing(rng: Random, level: int) -> list[str]:
    values = [rng.randint(1, LARGEST[level - 1]) for _ in range(rng.randint(2, (3, 4, 5, 8)[level - 1]))]
    lines = ["s = 0", f"for x in {values}:"]
    if level >= 2 and rng.random() < 0.6:
        return [*lines, f"    if x {rng.choice('<>')} {rng.randint(1, LARGEST[level - 1])}:", "        s = s + x", "print(s)"]
    return [*lines, "    s = s + x", "print(s)"]


MAKERS = {"straight": straight, "branch": branch, "loop": loop, "list": listing}
ALLOWED = (ast.Add, ast.Sub, ast.Mult)


class Tracer:
    """Runs assignments, if, for over a range or a list, and one print; writes a line for each assignment and test.

    Raises ValueError for other things, and where it would go on beyond :mod:`bounds`.
    """

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.lines: list[str] = []
        self.printed: int | None = None

    def evaluate(self, node: ast.expr) -> tuple[int, str]:
        """The value and the text with values in place of names."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value, str(node.value)
        if isinstance(node, ast.Name):
            number = self.values[node.id]
            return number, str(number) if number >= 0 else f"({number})"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ALLOWED):
            (a, p), (b, q) = self.evaluate(node.left), self.evaluate(node.right)
            if isinstance(node.op, ast.Add):
                return a + b, f"{p}+{q}"
            return (a - b, f"{p}-{q}") if isinstance(node.op, ast.Sub) else (a * b, f"{p}*{q}")
        raise ValueError("an expression of another kind")

    def run(self, body: Sequence[ast.stmt]) -> None:
        for node in body:
            if len(self.lines) > bounds.LINES:
                raise ValueError("a program that runs for long")
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                self.values[name], text = self.evaluate(node.value)
                if abs(self.values[name]) >= 10**bounds.DIGITS:
                    raise ValueError("a number of too many digits")
                self.lines.append(f"{name}={text}" + (f"={self.values[name]}" if text != str(self.values[name]) else ""))
            elif isinstance(node, ast.If):
                self.run(node.body if self.test(node.test) else node.orelse)
            elif isinstance(node, ast.For) and isinstance(node.target, ast.Name):
                for number in self.sequence(node.iter):
                    self.values[node.target.id] = number
                    self.lines.append(f"{node.target.id}={number}")
                    self.run(node.body)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                self.printed = self.evaluate(node.value.args[0])[0]
            else:
                raise ValueError("a statement of another kind")

    def test(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Compare):
            raise ValueError("a test of another kind")
        (a, p), (b, q) = self.evaluate(node.left), self.evaluate(node.comparators[0])
        sign = "<" if isinstance(node.ops[0], ast.Lt) else ">"
        holds = a < b if sign == "<" else a > b
        self.lines.append(f"{p}{sign}{q}:{'yes' if holds else 'no'}")
        return holds

    def sequence(self, node: ast.expr) -> list[int]:
        if isinstance(node, ast.List):
            return [self.evaluate(item)[0] for item in node.elts]
        if isinstance(node, ast.Call):
            return list(range(min(self.evaluate(node.args[0])[0], bounds.LINES + 1)))
        raise ValueError("a loop of another kind")


def compact(program: str) -> str:
    """On one line: spaces around signs left out, indentation as dots, lines joined by a stroke."""
    out = []
    for line in program.split("\n"):
        bare = line.lstrip(" ")
        dots = "." * ((len(line) - len(bare)) // 4)
        out.append(dots + re.sub(r" ?([-+*<>=]) ?", r"\1", bare).replace(", ", ","))
    return "|".join(out)


def expanded(text: str) -> str:
    """What `compact` made short, as Python again."""
    return "\n".join(re.sub(r"^\.+", lambda dots: "    " * len(dots[0]), line) for line in text.split("|"))


def trace(program: str) -> Tracer:
    """Raises ValueError for what isn't such a program."""
    if not PROGRAM.fullmatch(program) or NESTED.search(program):
        raise ValueError(f"not a program: {program!r}")
    tracer = Tracer()
    try:
        tracer.run(ast.parse(program).body)
    except SyntaxError:
        raise ValueError(f"not a program: {program!r}") from None
    return tracer


def generate(rng: Random, language: str, level: int) -> Problem:
    kind = rng.choice(KINDS)
    while True:
        program = "\n".join(MAKERS[kind](rng, level))
        tracer = trace(program)
        if all(abs(v) < 200 for v in tracer.values.values()):
            break
    prompt = rng.choice(PHRASES[language]).format(p=program)
    thought = "\n".join([f"run {compact(program)}", *tracer.lines])
    return Problem(FAMILY, kind, language, f"program:{program}", prompt, thought, str(tracer.printed))


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    tracer = trace(expanded(found[1]))
    yield True
    for at, line in enumerate(written[1:]):
        yield at < len(tracer.lines) and line == tracer.lines[at]
    yield len(written) == len(tracer.lines) + 1 and answer == str(tracer.printed)
