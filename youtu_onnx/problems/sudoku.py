"""4x4 sudoku, filled cell by cell where row, column and box leave one digit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems.problem import Problem

FAMILY = "sudoku"
KINDS = ("sudoku",)
STATEMENT = re.compile(r"sudoku ([0-4]{4}/[0-4]{4}/[0-4]{4}/[0-4]{4})")
BLANKS = ((2, 4), (4, 7), (6, 9), (10, 11))
CELLS = tuple(range(16))  # row by row

PHRASES = {
    "en": [
        "Solve this 4x4 sudoku (0 is empty):\n{g}",
        "Fill in the 4x4 sudoku:\n{g}",
        "Complete the 4 by 4 sudoku. Each row, column and 2x2 box holds 1 to 4.\n{g}",
    ],
    "zh": ["解这个4x4数独（0表示空格）：\n{g}", "把这个4x4数独填完：\n{g}", "完成4乘4数独，每行、每列、每宫都是1到4。\n{g}"],
}


def units(cell: int) -> tuple[list[int], list[int], list[int]]:
    """The cells of its row, its column and its box."""
    row, column = divmod(cell, 4)
    corner = row // 2 * 8 + column // 2 * 2
    return (
        [row * 4 + i for i in range(4)],
        [i * 4 + column for i in range(4)],
        [corner, corner + 1, corner + 4, corner + 5],
    )


def seen(grid: Sequence[int], cell: int) -> tuple[str, str, str]:
    """The digits in its row, column and box, sorted."""
    row, column, box = ("".join(sorted(str(grid[c]) for c in unit if grid[c])) for unit in units(cell))
    return row, column, box


def candidates(grid: Sequence[int], cell: int) -> list[int]:
    return [d for d in (1, 2, 3, 4) if str(d) not in "".join(seen(grid, cell))]


def step(grid: Sequence[int], cell: int, digit: int) -> str:
    row, column, box = seen(grid, cell)
    return f"{name(cell)}:r{row}c{column}b{box}={digit}"


def name(cell: int) -> str:
    return "abcd"[cell // 4] + str(cell % 4 + 1)


def text(grid: Sequence[int], between: str = "/") -> str:
    return between.join("".join(map(str, grid[row : row + 4])) for row in range(0, 16, 4))


def is_solution(grid: Sequence[int]) -> bool:
    return all(sorted(grid[c] for c in unit) == [1, 2, 3, 4] for cell in CELLS for unit in units(cell))


def fill(grid: list[int]) -> list[str] | None:
    """Fills `grid` with forced digits, the first cell that has one each time; None where that isn't enough."""
    steps = []
    while 0 in grid:
        forced = next(((c, options[0]) for c in CELLS if not grid[c] and len(options := candidates(grid, c)) == 1), None)
        if forced is None:
            return None
        steps.append(step(grid, *forced))
        grid[forced[0]] = forced[1]
    return steps


def solved(rng: Random) -> list[int]:
    """A random complete grid."""
    while True:
        grid = [0] * 16
        for cell in CELLS:
            options = candidates(grid, cell)
            if not options:
                break
            grid[cell] = rng.choice(options)
        else:
            return grid


def generate(rng: Random, language: str, level: int) -> Problem:
    while True:
        whole = solved(rng)
        puzzle = list(whole)
        for cell in rng.sample(CELLS, rng.randint(*BLANKS[level - 1])):
            puzzle[cell] = 0
        steps = fill(list(puzzle))
        if steps is not None:
            break
    shown = text(puzzle, "\n")
    if rng.random() < 0.3:
        shown = "\n".join(" ".join("_" if d == "0" else d for d in row) for row in shown.split("\n"))
    prompt = rng.choice(PHRASES[language]).format(g=shown)
    thought = "\n".join([f"sudoku {text(puzzle)}", *steps])
    return Problem(FAMILY, "sudoku", language, f"sudoku:{text(puzzle)}", prompt, thought, text(whole, "\n"))


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    if not found:
        raise ValueError(f"no statement in {written[0]!r}")
    grid = [int(d) for d in found[1].replace("/", "")]
    yield True
    for line in written[1:]:
        put = re.fullmatch(r"([a-d])([1-4]):r[1-4]*c[1-4]*b[1-4]*=([1-4])", line)
        if not put:
            yield False
            continue
        cell, digit = "abcd".index(put[1]) * 4 + int(put[2]) - 1, int(put[3])
        yield grid[cell] == 0 and candidates(grid, cell) == [digit] and line == step(grid, cell, digit)
        grid[cell] = digit
    yield answer == text(grid, "\n") and is_solution(grid)
