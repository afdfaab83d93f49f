"""Questions about weekdays, dates and times of day."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from random import Random

from youtu_onnx.problems import bounds, work
from youtu_onnx.problems import calendar_words as words
from youtu_onnx.problems.problem import Problem
from youtu_onnx.problems.steps import holds

FAMILY = "date"
KINDS = ("weekday", "date_after", "days_between", "time_after", "minutes_between")
STATEMENT = re.compile(
    r"weekday (\w{3})([+-])(\d+)|date (\d{4}-\d\d-\d\d)\+(\d+)|days (\d{4}-\d\d-\d\d) (\d{4}-\d\d-\d\d)"
    r"|time (\d\d:\d\d)\+(\d+)|minutes (\d\d:\d\d) (\d\d:\d\d)"
)
MOST = {"weekday": (9, 30, 99, 365), "date_after": (10, 28, 45, 100), "days_between": (20, 40, 75, 130)}
MINUTES = (50, 120, 300, 900)


def clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def month_length(day: dt.date) -> tuple[str, int]:
    """The length of a month, and the line that finds it."""
    after = (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
    length = (after - dt.timedelta(days=1)).day
    if day.month == 2:
        return f"{day.year}/4={day.year // 4}r{day.year % 4},02:{length}", length
    return f"{day.month:02d}:{length}", length


def weekday_lines(day: int, sign: str, count: int) -> tuple[list[str], str]:
    """Whole weeks change nothing; the rest is counted on the fingers."""
    q, rest = divmod(count, 7)
    step = 1 if sign == "+" else -1
    walk = [words.DAYS[(day + step * i) % 7] for i in range(rest + 1)]
    return [work.divide(count, 7) if count > 99 else f"{count}/7={q}r{rest}", ">".join(walk)], walk[-1]


def date_lines(day: dt.date, count: int) -> tuple[list[str], str]:
    """The day of the month plus the days, less a month's length as long as that is exceeded."""
    total, lines = day.day + count, [f"{day.day}+{count}={day.day + count}"]
    while True:
        line, length = month_length(day)
        lines.append(line)
        if total <= length:
            result = day.replace(day=total).isoformat()
            return [*lines, result], result
        lines.append(f"{total}-{length}={total - length}")
        total -= length
        day = (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1)


def days_lines(first: dt.date, last: dt.date) -> tuple[list[str], str]:
    """The rest of the first month, whole months between, the days of the last. Needs first <= last."""
    if (first.year, first.month) == (last.year, last.month):
        return [f"{last.day}-{first.day}={last.day - first.day}"], str(last.day - first.day)
    line, length = month_length(first)
    total = length - first.day
    lines, month = [line, f"{length}-{first.day}={total}"], (first.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
    while (month.year, month.month) != (last.year, last.month):
        line, length = month_length(month)
        lines += [line, f"{total}+{length}={total + length}"]
        total += length
        month = (month.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
    lines.append(f"{total}+{last.day}={total + last.day}")
    return lines, str(total + last.day)


def time_lines(start: str, count: int) -> tuple[list[str], str]:
    hour, minute = map(int, start.split(":"))
    total = minute + count
    lines = [f"{minute}+{count}={total}", f"{total}/60={total // 60}r{total % 60}", f"{hour}+{total // 60}={hour + total // 60}"]
    if hour + total // 60 >= 24:
        lines.append(f"{hour + total // 60}-24={hour + total // 60 - 24}")
    result = clock(hour * 60 + total)
    return [*lines, result], result


def minutes_lines(first: str, last: str) -> tuple[list[str], str]:
    """An hour is broken into minutes where those don't suffice. Needs first <= last."""
    (a, b), (c, d) = (map(int, t.split(":")) for t in (first, last))
    lines = []
    if d < b:
        lines = [f"{c}-1={c - 1}", f"{d}+60={d + 60}"]
        c, d = c - 1, d + 60
    hours, result = c - a, (c - a) * 60 + d - b
    return [*lines, f"{c}-{a}={hours}", f"{d}-{b}={d - b}", f"{hours}*60={hours * 60}", f"{hours * 60}+{d - b}={result}"], str(
        result
    )


def counted(days: int) -> int:
    """Raises ValueError for more days than are counted, and for fewer than none."""
    if not 0 <= days <= bounds.DAYS:
        raise ValueError(f"not so many days: {days}")
    return days


def solve(statement: str) -> tuple[list[str], str]:
    """The lines after a statement, and the result: a date, a time, a number or a short weekday."""
    found = STATEMENT.fullmatch(statement)
    if not found:
        raise ValueError(f"no statement in {statement!r}")
    if found[1]:
        return weekday_lines(words.DAYS.index(found[1]), found[2], int(found[3]))
    if found[4]:
        return date_lines(dt.date.fromisoformat(found[4]), counted(int(found[5])))
    if found[6]:
        first, last = (dt.date.fromisoformat(found[place]) for place in (6, 7))
        counted((last - first).days)
        return days_lines(first, last)
    if found[8]:
        return time_lines(found[8], int(found[9]))
    return minutes_lines(found[10], found[11])


def generate(rng: Random, language: str, level: int) -> Problem:
    kind = rng.choice(KINDS)
    day = dt.date(rng.randint(1990, 2030), 1, 1) + dt.timedelta(days=rng.randint(0, 364))
    minute = rng.randint(0, 1439)
    if kind in MOST:
        low = MOST[kind][level - 2] + 1 if level == 4 else 1
        count = rng.randint(low, MOST[kind][level - 1])
    else:
        count = rng.randint(MINUTES[level - 2] + 1 if level == 4 else 5, MINUTES[level - 1])
    if kind == "weekday":
        sign = rng.choice("+-")
        weekday = rng.randrange(7)
        statement = f"weekday {words.DAYS[weekday]}{sign}{count}"
        prompt = words.ask_weekday(rng, language, weekday, sign, count)
    elif kind in ("date_after", "days_between"):
        last = day + dt.timedelta(days=count)
        statement = f"date {day}+{count}" if kind == "date_after" else f"days {day} {last}"
        prompt = words.ask_date(rng, language, kind, day, last, count)
    else:
        minute = minute if kind == "time_after" else rng.randint(0, 1439 - min(count, 1400))
        first, last_time = clock(minute), clock(min(minute + count, 1439) if kind == "minutes_between" else minute + count)
        statement = f"time {first}+{count}" if kind == "time_after" else f"minutes {first} {last_time}"
        prompt = words.ask_time(rng, language, kind, first, last_time, count)
    lines, result = solve(statement)
    answer = words.day_name(result, language) if kind == "weekday" else result
    return Problem(FAMILY, kind, language, statement, prompt, "\n".join([statement, *lines]), answer)


def check(written: Sequence[str], answer: str) -> Iterator[bool]:
    expected, result = solve(written[0])
    yield True
    for at, line in enumerate(written[1:]):
        yield at < len(expected) and line == expected[at] and (":" in line or all(holds(p) for p in line.split(",") if "=" in p))
    right = {words.day_name(result, language) for language in words.DAY_NAMES} if result in words.DAYS else {result}
    yield len(written) == len(expected) + 1 and answer in right
