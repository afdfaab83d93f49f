"""Greetings and the like, as youtu-nano has them, with this model's name. Nothing here is measured."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from training.nano import small_talk
from youtu_onnx.problems.problem import Problem

FAMILY = small_talk.FAMILY
ABOUT = {
    "who": {
        "en": "I am MicroReason, a small reasoning model that shows its steps.",
        "zh": "我是MicroReason，一个会写出步骤的小型推理模型。",
    },
    "can": {
        "en": "I solve small problems step by step: sums, fractions, equations, logic, sudoku, mazes, dates and word problems.",
        "zh": "我会一步一步地做题：算术、分数、方程、逻辑、数独、迷宫、日期和应用题，中文和英文都可以。",
    },
}


def generate(rng: Random, language: str, level: int) -> Problem:
    problem = small_talk.generate(rng, language)
    own = ABOUT.get(problem.kind)
    return replace(problem, reply=own[language]) if own else problem
