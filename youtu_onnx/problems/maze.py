"""Shortest ways in small mazes, by breadth-first search written out ring by ring."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems.problem import Problem

FAMILY = "maze"
KINDS = ("maze",)
STATEMENT = re.compile(r"maze ([01SG]+(?:/[01SG]+)+)")
SIDES = (3, 4, 5, 6)
NO_WAY = {"en": "no way", "zh": "走不到"}
DEAD_END = "none"

PHRASES = {
    "en": [
        "In this maze 1 is a wall and 0 is free. How many steps is the shortest way from S to G?\n{g}",
        "Find the length of the shortest path from S to G (0 free, 1 wall):\n{g}",
        "Maze:\n{g}\nWalk from S to G without crossing 1. How few steps does it take?",
    ],
    "zh": [
        "迷宫中1是墙，0是路。从S到G最少走几步？\n{g}",
        "求从S到G的最短路长度（0是路，1是墙）：\n{g}",
        "迷宫：\n{g}\n从S走到G，不能穿过1，最少要几步？",
    ],
}


def name(cell: int, side: int) -> str:
    return "abcdefgh"[cell // side] + str(cell % side + 1)


def neighbours(cell: int, side: int) -> list[int]:
    row, column = divmod(cell, side)
    around = ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column))
    return [r * side + c for r, c in around if 0 <= r < side and 0 <= c < side]


def rings(grid: str, side: int) -> list[list[int]]:
    """Cells by distance from S, up to the ring that holds G; the last ring is empty where G can't be reached."""
    start, goal = grid.index("S"), grid.index("G")
    out, known = [[start]], {start}
    while goal not in known and out[-1]:
        ring = {n for cell in out[-1] for n in neighbours(cell, side) if grid[n] != "1" and n not in known}
        known |= ring
        out.append(sorted(ring))
    return out


def lines(rows: Sequence[str]) -> list[str]:
    side, grid = len(rows), "".join(rows)
    out = [f"maze {'/'.join(rows)}", f"G={name(grid.index('G'), side)}"]
    for distance, ring in enumerate(rings(grid, side)):
        out.append(f"{distance}:{','.join(name(cell, side) for cell in ring) or DEAD_END}")
    return out


def generate(rng: Random, language: str, level: int) -> Problem:
    side = SIDES[level - 1] if level in (1, 4) else rng.choice(SIDES[level - 2 : level])
    while True:
        grid = [("1" if rng.random() < 0.35 else "0") for _ in range(side * side)]
        start, goal = rng.sample(range(side * side), 2)
        grid[start], grid[goal] = "S", "G"
        found = rings("".join(grid), side)
        # Most random mazes are too easy, or have no way at all.
        if len(found[-1]) == 0:
            if rng.random() < 0.25:
                break
        elif len(found) - 1 >= rng.randint(2, side):
            break
    rows = ["".join(grid[at : at + side]) for at in range(0, side * side, side)]
    answer = str(len(found) - 1) if found[-1] else NO_WAY[language]
    prompt = rng.choice(PHRASES[language]).format(g="\n".join(rows))
    return Problem(FAMILY, f"maze_{side}", language, f"maze:{'/'.join(rows)}", prompt, "\n".join(lines(rows)), answer)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    found = STATEMENT.fullmatch(written[0])
    rows = found[1].split("/") if found else []
    grid = "".join(rows)
    if not found or {len(row) for row in rows} != {len(rows)} or grid.count("S") != 1 or grid.count("G") != 1:
        raise ValueError(f"no statement in {written[0]!r}")
    expected = lines(rows)
    yield True
    for at, line in enumerate(written[1:], start=1):
        yield at < len(expected) and line == expected[at]
    reached = not expected[-1].endswith(DEAD_END)
    right = {expected[-1].split(":")[0]} if reached else set(NO_WAY.values())
    yield list(written) == expected and answer in right
