"""Short stories with two numbers; the derivation is the arithmetic that the story asks for."""

from __future__ import annotations

from random import Random

from youtu_onnx.problems.nano.arithmetic import add_thought, multiply_thought, subtract_thought
from youtu_onnx.problems.problem import Problem

FAMILY = "word_problem"

NAMES = {
    "en": ["Tom", "Amy", "Ben", "Lucy", "Sam", "Anna", "Jack", "Mary", "Leo", "Kate"],
    "zh": ["小明", "小红", "小刚", "小丽", "小华", "小强", "小芳", "小军", "小兰", "小龙"],
}
THINGS = {
    "en": ["apples", "books", "pens", "coins", "stamps", "cards", "eggs", "balls", "cakes", "stones"],
    "zh": ["个苹果", "本书", "支笔", "枚硬币", "张邮票", "张卡片", "个鸡蛋", "个球", "块蛋糕", "颗石头"],
}
BOXES = {"en": ["boxes", "bags", "baskets", "shelves"], "zh": ["个盒子", "个袋子", "个篮子", "个箱子"]}

STORIES = {
    "add": {
        "en": [
            "{n} has {a} {t} and buys {b} more. How many {t} does {n} have now?",
            "{n} has {a} {t}. {m} has {b} {t}. How many {t} do they have together?",
            "There are {a} {t} on the table. {n} puts {b} more there. How many {t} are on the table?",
        ],
        "zh": [
            "{n}有{a}{t}，又买了{b}{t}。{n}现在一共有多少{t0}？",
            "{n}有{a}{t}，{m}有{b}{t}。他们一共有多少{t0}？",
            "桌上有{a}{t}，{n}又放了{b}{t}。桌上一共有多少{t0}？",
        ],
    },
    "subtract": {
        "en": [
            "{n} has {a} {t} and gives {b} to {m}. How many {t} does {n} have left?",
            "{n} had {a} {t} and lost {b}. How many {t} are left?",
            "There are {a} {t} on the table. {n} takes {b} away. How many {t} are left?",
        ],
        "zh": [
            "{n}有{a}{t}，给了{m}{b}{t}。{n}还剩多少{t0}？",
            "{n}原来有{a}{t}，丢了{b}{t}。还剩多少{t0}？",
            "桌上有{a}{t}，{n}拿走了{b}{t}。桌上还剩多少{t0}？",
        ],
    },
    "multiply": {
        "en": [
            "{n} has {b} {x} with {a} {t} in each. How many {t} are there in all?",
            "There are {b} {x}. Each holds {a} {t}. How many {t} are there in all?",
            "{n} buys {b} {x} of {a} {t} each. How many {t} does {n} buy?",
        ],
        "zh": [
            "{n}有{b}{x}，每{x0}里有{a}{t}。一共有多少{t0}？",
            "有{b}{x}，每{x0}装{a}{t}。一共有多少{t0}？",
            "{n}买了{b}{x}，每{x0}有{a}{t}。{n}一共买了多少{t0}？",
        ],
    },
}


def generate(rng: Random, language: str) -> Problem:
    kind = rng.choice(tuple(STORIES))
    if kind == "multiply":
        a, b = rng.randint(2, 30), rng.randint(2, 9)
        thought, answer = multiply_thought(a, b), a * b
    else:
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        if kind == "subtract":
            a, b = max(a, b), min(a, b)
            thought, answer = subtract_thought(a, b), a - b
        else:
            thought, answer = add_thought(a, b), a + b
    n, m = rng.sample(NAMES[language], 2)
    thing, box = rng.choice(THINGS[language]), rng.choice(BOXES[language])
    # Chinese names carry their measure word (个苹果), which stays in the question: 多少个苹果.
    prompt = rng.choice(STORIES[kind][language]).format(n=n, m=m, a=a, b=b, t=thing, t0=thing, x=box, x0=box)
    # The key is that of the bare sum: a held-out sum is held out inside a story as well.
    return Problem(FAMILY, kind, language, f"{kind}:{a}:{b}", prompt, thought, str(answer))
