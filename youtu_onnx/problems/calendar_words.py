"""How questions about dates and times are asked."""

from __future__ import annotations

import datetime as dt
from random import Random

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_NAMES = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "zh": ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
}
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def day_name(short: str, language: str) -> str:
    return DAY_NAMES[language][DAYS.index(short)]


def ask_weekday(rng: Random, language: str, weekday: int, sign: str, count: int) -> str:
    name = DAY_NAMES[language][weekday]
    if language == "en":
        later = [
            f"Today is {name}. What day of the week is it in {count} days?",
            f"If today is {name}, what day will it be {count} days from now?",
        ]
        earlier = [
            f"Today is {name}. What day of the week was it {count} days ago?",
            f"If today is {name}, which day was {count} days ago?",
        ]
    else:
        later = [f"今天是{name}，{count}天后是星期几？", f"如果今天是{name}，再过{count}天是星期几？"]
        earlier = [f"今天是{name}，{count}天前是星期几？", f"如果今天是{name}，那么{count}天以前是星期几？"]
    return rng.choice(later if sign == "+" else earlier)


def written(rng: Random, day: dt.date, language: str) -> str:
    if rng.random() < 0.4:
        return day.isoformat()
    if language == "zh":
        return f"{day.year}年{day.month}月{day.day}日"
    month = MONTHS[day.month - 1]
    return rng.choice((f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}"))


def ask_date(rng: Random, language: str, kind: str, first: dt.date, last: dt.date, count: int) -> str:
    a, b = written(rng, first, language), written(rng, last, language)
    if kind == "date_after":
        return rng.choice(
            [
                f"What date is {count} days after {a}? Answer as YYYY-MM-DD.",
                f"Today is {a}. What is the date in {count} days (YYYY-MM-DD)?",
                f"Add {count} days to {a}.",
            ]
            if language == "en"
            else [
                f"{a}之后{count}天是哪一天？用YYYY-MM-DD回答。",
                f"今天是{a}，{count}天后是几月几日？",
                f"{a}加{count}天是哪天？",
            ]
        )
    return rng.choice(
        [f"How many days are there from {a} to {b}?", f"How many days after {a} is {b}?", f"Count the days between {a} and {b}."]
        if language == "en"
        else [f"从{a}到{b}有多少天？", f"{a}和{b}相差多少天？", f"{b}在{a}之后多少天？"]
    )


def ask_time(rng: Random, language: str, kind: str, first: str, last: str, count: int) -> str:
    if kind == "time_after":
        return rng.choice(
            [
                f"What time is it {count} minutes after {first}?",
                f"A film starts at {first} and lasts {count} minutes. When does it end?",
                f"It is {first}. What time will it be in {count} minutes?",
            ]
            if language == "en"
            else [
                f"{first}过{count}分钟是几点？",
                f"电影{first}开始，放映{count}分钟，几点结束？",
                f"现在是{first}，{count}分钟后是几点？",
            ]
        )
    return rng.choice(
        [
            f"How many minutes are there from {first} to {last}?",
            f"A train leaves at {first} and arrives at {last}. How many minutes does it take?",
            f"How long is it from {first} to {last} in minutes?",
        ]
        if language == "en"
        else [f"从{first}到{last}有多少分钟？", f"火车{first}开，{last}到，路上要多少分钟？", f"{first}到{last}经过了几分钟？"]
    )
