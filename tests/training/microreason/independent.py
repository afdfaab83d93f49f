"""Answers found in another way than the generators find them, for each family: from a problem's key, or by brute force."""

import contextlib
import datetime as dt
import io
import itertools
import math
import re
from decimal import Decimal
from fractions import Fraction

from youtu_onnx.problems import calendar_words, units


def arithmetic(p):
    kind, a, b = p.key.split(":")
    a, b = int(a), int(b)
    if kind == "divide":
        whole, rest = divmod(a, b)
        joint = " r " if p.language == "en" else "余"
        return f"{whole}{joint}{rest}" if rest else str(whole)
    return str({"add": a + b, "subtract": a - b, "multiply": a * b}[kind])


def gcd(p):
    kind, a, b = p.key.split(":")
    return str(math.gcd(int(a), int(b)) if kind == "gcd" else math.lcm(int(a), int(b)))


def base(p):
    kind, n, b = p.key.split(":")
    if kind == "from_base":
        return n
    digits = next(d for d in re.findall(r"[0-9A-F]+", p.answer))
    return p.answer if int(digits, int(b)) == int(n) else None


def fraction(p):
    _, kind, *operands = p.key.split(":")
    x, *rest = map(Fraction, operands)
    if kind == "compare":
        return max(operands, key=Fraction)
    y = rest[0] if rest else None
    value = {
        "simplify": lambda: x,
        "add": lambda: x + y,
        "subtract": lambda: x - y,
        "multiply": lambda: x * y,
        "divide": lambda: x / y,
    }
    return str(value[kind]())


def equation(p):
    left, right = p.key.split(":")[1].split("=")
    unknown, value = p.answer.split(" = ")
    python = [re.sub(r"(\d)([x(])", r"\1*\2", side) for side in (left, right)]
    assert unknown in p.prompt
    return p.answer if len({eval(side, {"x": int(value)}) for side in python}) == 1 else None


def ordering(p):
    kind, *rest = p.key.split(":")
    if kind == "compare":
        wanted = max if re.search("larg|bigg|大", p.prompt) else min
        return wanted(rest, key=Decimal)
    values = [int(v) for v in rest[0].split(", ")]
    if kind in ("max", "min"):
        return str({"max": max, "min": min}[kind](values))
    return ", ".join(map(str, sorted(values, reverse=kind == "sort_down")))


def logic(p):
    kind, rest = p.key.split(":", 1)
    if kind == "evaluate":
        formula, assigned = rest.rsplit(":", 1)
        values = {name: v == "1" for name, v in (pair.split("=") for pair in assigned.split(","))}
        python = formula.replace("!", " not ").replace("&", " and ").replace("|", " or ")
        # In Python <= binds closer than `not` and no closer than what stands in brackets: brackets keep the order.
        python = re.sub(r"(not )+([pqrs])", r"(\g<0>)", python.replace(">", "<="))
        true = bool(eval(re.sub(r"not\s+\(", "NOT(", python), {"NOT": lambda v: not v, **values}))
        return {"en": ("false", "true"), "zh": ("假", "真")}[p.language][true]
    rules, facts, goal = rest.removeprefix("rules ").split("|")
    clauses = [(set(left.split("&")), right) for left, right in (rule.split(">") for rule in rules.split(";"))]
    names = sorted({goal, *facts.split(","), *(n for left, right in clauses for n in (*left, right))})
    follows = True
    for bits in itertools.product((True, False), repeat=len(names)):
        world = {n for n, true in zip(names, bits, strict=True) if true}
        if world.issuperset(facts.split(",")) and all(right in world or not left <= world for left, right in clauses):
            follows = follows and goal in world
    return {"en": ("unknown", "yes"), "zh": ("不能确定", "是")}[p.language][follows]


def knights(p):
    claims = p.key.split(":", 1)[1].split(";")
    found = []
    for case in itertools.product((True, False), repeat=len(claims)):
        world = dict(zip("ABCD", case, strict=False)) | {"0": False, "1": True}

        def said(claim, world=world):
            if "&" in claim:
                return all(said(part) for part in claim.split("&"))
            if "|" in claim:
                return any(said(part) for part in claim.split("|"))
            return (world[claim[0]] == world[claim[2]]) == (claim[1] == "=")

        if all(said(claim) == is_knight for claim, is_knight in zip(claims, case, strict=True)):
            found.append(case)
    assert len(found) == 1
    names = [part.split(": ")[0] for part in p.answer.split(", ")]
    assert all(name in p.prompt for name in names)
    words = {"en": ("knave", "knight"), "zh": ("无赖", "骑士")}[p.language]
    return ", ".join(f"{n}: {words[k]}" for n, k in zip(names, found[0], strict=True))


def sudoku(p):
    puzzle = p.key.split(":")[1].split("/")
    orders = list(itertools.permutations("1234"))
    rows = [[o for o in orders if all(d in ("0", c) for c, d in zip(o, row, strict=True))] for row in puzzle]
    whole = []
    for grid in itertools.product(*rows):
        columns = all(len(set(column)) == 4 for column in zip(*grid, strict=True))
        boxes = all(len({*grid[r][c : c + 2], *grid[r + 1][c : c + 2]}) == 4 for r in (0, 2) for c in (0, 2))
        if columns and boxes:
            whole.append("\n".join("".join(row) for row in grid))
    assert len(whole) == 1
    return whole[0]


def maze(p):
    """Distances by relaxation until nothing changes."""
    rows = p.key.split(":")[1].split("/")
    cells = {(r, c): v for r, row in enumerate(rows) for c, v in enumerate(row) if v != "1"}
    far = 10**6
    distance = {cell: 0 if v == "S" else far for cell, v in cells.items()}
    for _ in cells:
        for r, c in cells:
            around = [distance.get(n, far) + 1 for n in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1))]
            distance[r, c] = min(distance[r, c], *around)
    shortest = next(distance[cell] for cell, v in cells.items() if v == "G")
    return str(shortest) if shortest < far else {"en": "no way", "zh": "走不到"}[p.language]


def date(p):
    kind, rest = p.key.split(" ", 1)
    if kind == "weekday":
        today, sign, count = re.fullmatch(r"(\w{3})([+-])(\d+)", rest).groups()
        monday = dt.date(2024, 1, 1)
        day = monday + dt.timedelta(days=calendar_words.DAYS.index(today) + int(sign + count))
        return calendar_words.DAY_NAMES[p.language][day.weekday()]
    if kind == "date":
        return str(dt.date.fromisoformat(rest[:10]) + dt.timedelta(days=int(rest[11:])))
    if kind == "days":
        first, last = map(dt.date.fromisoformat, rest.split(" "))
        return str((last - first).days)
    if kind == "time":
        start, count = rest.split("+")
        return (dt.datetime(2024, 1, 1, *map(int, start.split(":")), tzinfo=dt.UTC) + dt.timedelta(minutes=int(count))).strftime(
            "%H:%M"
        )
    first, last = (dt.datetime(2024, 1, 1, *map(int, t.split(":")), tzinfo=dt.UTC) for t in rest.split(" "))
    return str(int((last - first).total_seconds()) // 60)


def unit(p):
    """Compares amounts in the smaller unit: that of the question's statement, and that of the answer."""
    statement, rate = p.key.removeprefix("unit:").split(":")
    large, factor, small = re.fullmatch(r"1 (\S+)=(\d+) (\S+)", rate).groups()
    known = next(u for u in units.UNITS if u[:3] == (large, small, int(factor)))

    def total(text, names):
        """Longer names first: 分钟 before 分, km before m."""
        sizes = {names[0]: int(factor), names[1]: 1}
        pattern = "|".join(sorted(map(re.escape, sizes), key=len, reverse=True))
        return sum(int(n) * sizes[name] for n, name in re.findall(rf"(\d+) ?({pattern})(?![a-z])", text))

    answered = total(p.answer, known[:2] if p.language == "en" else known[3:])
    if p.kind != "down":  # no part is as much as the next larger unit
        assert int(factor) > total(
            re.split(r"[a-z] |[^\d ](?=\d)", p.answer)[-1], known[:2] if p.language == "en" else known[3:]
        ) or (answered % int(factor) == 0)
    return p.answer if answered == total(statement, known[:2]) else None


def word_problem(p):
    expression = p.key.split(":")[1]
    assert set(re.findall(r"\d+", expression)) == set(re.findall(r"\d+", p.prompt))
    value = eval(re.sub(r"(\d+)", r"Fraction(\1)", expression), {"Fraction": Fraction})
    assert value >= 0
    return str(value)


def program(p):
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(p.key.split(":", 1)[1], {})
    assert p.key.split(":", 1)[1] in p.prompt
    return shown.getvalue().strip()


def letters(p):
    word = p.key.split(":")[1]
    letter = re.search(r"(?<![A-Za-z])([a-z])(?![A-Za-z])", p.prompt.replace(word, " "))
    return {
        "reverse": "".join(reversed(word)),
        "upper": word.upper(),
        "count": str(len(re.findall(letter[1], word))) if p.kind == "count" else None,
        "first": word[:1],
        "last": word[-1:],
        "length": str(len(list(word))),
    }[p.kind]


ANSWERS = {
    f.__name__: f
    for f in (
        arithmetic, gcd, base, fraction, equation, ordering, logic, knights,
        sudoku, maze, date, unit, word_problem, program, letters,
    )
}  # fmt: skip
