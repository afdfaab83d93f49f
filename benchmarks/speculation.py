"""What prompt lookup saves, and what a step of several tokens costs.

    python -m benchmarks.speculation BUNDLE [--context 256] [--tokens 400] [--rounds 5] [--draft-tokens 16] [--replies]

Prints Markdown. Two tables need no trained weights and hold for any bundle of the shape:

- the time of a step of 1 + K tokens, as a multiple of a step of one. A draft of K tokens pays when more than that multiple
  less 1 of them come true; the table says the share, too.
- texts written through the decoder, token by token with and without prompt lookup, as if the model had chosen just these
  tokens: an edit of a prompt's source code, an answer that quotes, and text that owes nothing to its prompt.

``--replies`` adds the greedy replies of the model itself to youtu-nano's held-out problems, which it must be trained for.
Rounds are interleaved, and each number is a median of them. Prompts are run before the clock starts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from youtu_onnx.chat.drafter import Drafter, Speculation
from youtu_onnx.chat.model import Model
from youtu_onnx.chat.opening import load
from youtu_onnx.chat.prompt_lookup import PromptLookup
from youtu_onnx.chat.token_cache import TokenCache
from youtu_onnx.evaluate.problem import HELD_OUT, read_problems

GUESSES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16)


HEADER = "tokens | steps | guesses accepted | tokens per step | tokens/s without | with | faster |\n" + "|---" * 8 + "|"

CODE = '''\
def running_mean(values, width):
    """Mean of each run of ``width`` values."""
    if width < 1 or width > len(values):
        raise ValueError(f"width {width} doesn't fit {len(values)} values")
    total = sum(values[:width])
    means = [total / width]
    for index in range(width, len(values)):
        total += values[index] - values[index - width]
        means.append(total / width)
    return means


def largest_jump(values):
    """Index at which neighbours differ most."""
    best = 0
    for index in range(1, len(values) - 1):
        if abs(values[index + 1] - values[index]) > abs(values[best + 1] - values[best]):
            best = index
    return best
'''

GUARD = """\
    if len(values) < 2:
        raise ValueError("too short")
"""

RULE = (
    "A lighthouse keeper writes down every ship that passes, with its name, its course and the hour. ",
    "When the fog is too thick to see the second buoy, the keeper sounds the horn twice a minute and writes that down. ",
    "Lamps are trimmed at dusk and at midnight; a lamp that smokes is changed at once. ",
    "Visitors may climb the tower on Sundays, never more than four at a time, and not in a storm.",
)


@dataclass(frozen=True)
class Text:
    """A prompt, and a reply that is written whatever the model thinks of it."""

    name: str
    prompt: str
    reply: str


TEXTS = (
    Text(
        "an edit of code",
        f"Rename total to sum_of_run, and let the second function refuse short lists:\n\n{CODE}",
        CODE.replace("total", "sum_of_run").replace("    best = 0\n", f"{GUARD}    best = 0\n"),
    ),
    Text(
        "an answer that quotes",
        f"What are the rules for fog, and who may visit?\n\n{''.join(RULE)}",
        f"There are two rules about that. For fog it says: “{RULE[1].strip()}” As to guests, you may come if you keep to this: "
        f"“{RULE[3]}” So a party of five has to take turns.",
    ),
    Text("prose that is new", "Make up the rules of a lighthouse.", "".join(RULE)),
    Text("code that is new", "Write two functions on lists of numbers.", CODE),
)


def write(model: Model, prompt: list[int], reply: list[int], settings: PromptLookup | None) -> tuple[float, Speculation]:
    """Seconds and steps that a reply takes after its prompt was run; the same steps as ``Generation`` takes."""
    cache = TokenCache(model.decoder)
    cache.clear()
    cache.start(prompt)
    started = time.perf_counter()
    drafter = Drafter(settings, prompt) if settings else None
    for position, id_ in enumerate(reply[:-1], 1):
        if drafter is None:
            cache.append([id_])
            continue
        drafter.push(id_)
        if cache.take(id_) is None:
            cache.append([id_], drafter.draft(len(reply) - position - 1))
    cache.drop_guesses()
    return time.perf_counter() - started, drafter.counts if drafter else Speculation(len(reply) - 1, 0, 0)


def print_costs(model: Model, context: int, rounds: int) -> None:
    decoder = model.decoder
    order = np.random.default_rng(0)
    ids = order.integers(2, decoder.vocab_size, context + 1 + max(GUESSES)).tolist()
    decoder.reset()
    decoder.prefill(ids[:context])
    seconds: dict[int, list[float]] = {count: [] for count in GUESSES}
    for number in range(rounds + 1):
        for count in order.permutation(GUESSES).tolist():
            started = time.perf_counter()
            decoder.decode(ids[context : context + 1 + count])
            elapsed = time.perf_counter() - started
            decoder.rewind(1 + count)
            if number:  # the first round warms up
                seconds[count].append(elapsed)
    single = median(seconds[0])
    print(f"Steps after {context} tokens, medians of {rounds} rounds:\n")
    print("| guesses K | step of 1 + K | of a step of one | pays from |\n|---|---|---|---|")
    for count, taken in seconds.items():
        ratio = median(taken) / single
        pays = f"{max(ratio - 1, 0) / count:.0%} accepted" if count else ""
        print(f"| {count} | {1e3 * median(taken):.2f} ms | {ratio:.2f} | {pays} |", flush=True)


def print_texts(model: Model, settings: PromptLookup, tokens: int, rounds: int) -> None:
    print(f"\nTexts written through the decoder, drafts up to {settings.draft_tokens}, medians of {rounds} rounds:\n")
    print(f"| text | {HEADER}")
    for text in TEXTS:
        prompt = model.tokenizer.encode(text.prompt, frame=True)
        reply = model.tokenizer.encode(text.reply)[:tokens]

        def run(
            chosen: PromptLookup | None, prompt: list[int] = prompt, reply: list[int] = reply
        ) -> tuple[float, int, Speculation]:
            seconds, counts = write(model, prompt, reply, chosen)
            return seconds, len(reply) - 1, counts

        print_row(text.name, run, settings, rounds)


def print_replies(model: Model, settings: PromptLookup, rounds: int) -> None:
    problems = read_problems(HELD_OUT)
    print(f"\nThe model's own greedy replies, medians of {rounds} rounds:\n")
    print(f"| problems | {HEADER}")
    for family in dict.fromkeys(problem.family for problem in problems):
        prompts = [problem.prompt for problem in problems if problem.family == family]

        def run(chosen: PromptLookup | None, prompts: list[str] = prompts) -> tuple[float, int, Speculation]:
            model.prompt_lookup = chosen
            made = [model.generate(prompt, greedy=True, max_tokens=160) for prompt in prompts]
            counts = [reply.speculation or Speculation(len(reply.token_ids), 0, 0) for reply in made]
            total = Speculation(sum(c.steps for c in counts), sum(c.drafted for c in counts), sum(c.accepted for c in counts))
            return sum(reply.timing.decode_seconds for reply in made), sum(len(reply.token_ids) for reply in made), total

        print_row(family, run, settings, rounds)


def print_row(
    name: str, run: Callable[[PromptLookup | None], tuple[float, int, Speculation]], settings: PromptLookup, rounds: int
) -> None:
    without, with_ = [], []
    for _ in range(rounds):
        without.append(run(None)[0])
        seconds, tokens, counts = run(settings)
        with_.append(seconds)
    accepted = f"{counts.accepted} of {counts.drafted}"
    print(
        f"| {name} | {tokens} | {counts.steps} | {accepted} | {counts.tokens_per_step:.2f} | {tokens / median(without):.1f} "
        f"| {tokens / median(with_):.1f} | {median(without) / median(with_):.2f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--context", type=int, default=256, help="tokens in the cache when steps are timed")
    parser.add_argument("--tokens", type=int, default=400, help="of each text, at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draft-tokens", type=int, default=PromptLookup().draft_tokens)
    parser.add_argument("--replies", action="store_true", help="youtu-nano's own replies too")
    parser.add_argument("--provider")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    settings = PromptLookup(options.draft_tokens)
    with load(options.bundle, provider=options.provider, threads=options.threads) as model:
        print_costs(model, options.context, options.rounds)
        print_texts(model, settings, options.tokens, options.rounds)
        if options.replies:
            print_replies(model, settings, options.rounds)


if __name__ == "__main__":
    main()
