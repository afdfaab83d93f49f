"""Greedy accuracy on held-out problems, by family, kind and language.

python -m training.nano.evaluate youtu_onnx/models/youtu_nano --count 200
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase, YoutuForCausalLM

from training.common.rounding import round_to_int4
from youtu_onnx.problems.problem import LANGUAGES, Problem, is_correct

from .tasks import MEASURED, held_out

NEW_TOKENS = 96

Message = dict[str, str]
Marks = dict[tuple[str, str, str], list[bool]]
"""By family, kind and language, whether each reply was right."""


def replies(
    model: YoutuForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    conversations: list[list[Message]],
    *,
    thinking: bool = True,
    batch: int = 64,
) -> list[str]:
    """Greedy replies, left-padded batches of similar length; order kept."""
    choice: dict[str, Any] = {} if thinking else {"enable_thinking": False}
    texts = [str(tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True, **choice)) for c in conversations]
    generate = cast(Any, model).generate  # which is typed for another class than this one
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    out = [""] * len(texts)
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        inputs = tokenizer(
            [texts[i] for i in chosen], return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
        )
        with torch.inference_mode():
            ids = generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
        for i, row in zip(chosen, ids[:, inputs["input_ids"].shape[1] :], strict=True):
            out[i] = str(tokenizer.decode(row, skip_special_tokens=True))
    return out


def messages(problem: Problem) -> list[Message]:
    return [{"role": "user", "content": problem.prompt}]


def measure(
    model: YoutuForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    problems: list[Problem],
    history: list[Message] | None = None,
    *,
    thinking: bool = True,
) -> tuple[Marks, list[tuple[Problem, str]]]:
    """Right or wrong by (family, kind, language), and the wrong ones with their replies."""
    texts = replies(model, tokenizer, [(history or []) + messages(p) for p in problems], thinking=thinking)
    results: Marks = defaultdict(list)
    wrong: list[tuple[Problem, str]] = []
    for problem, text in zip(problems, texts, strict=True):
        right = problem.answer is not None and is_correct(text, problem.answer)
        results[problem.family, problem.kind, problem.language].append(right)
        if not right:
            wrong.append((problem, text))
    return results, wrong


def summary(results: Marks) -> dict[str, dict[str, float]]:
    """Accuracy by family, and by family/kind, for each language and for both."""
    table: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for (family, kind, language), marks in results.items():
        for row in (family, f"{family}/{kind}", "all"):
            table[row][language] += marks
            table[row]["both"] += marks
    return {row: {column: sum(m) / len(m) for column, m in columns.items()} for row, columns in table.items()}


def markdown(table: dict[str, dict[str, float]]) -> str:
    lines = ["| family | English | Chinese | both |", "|---|---|---|---|"]
    for row in sorted(table, key=lambda r: (r == "all", r)):
        cells = [f"{100 * table[row][c]:.1f} %" if c in table[row] else "–" for c in (*LANGUAGES, "both")]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def load(folder: Path) -> tuple[YoutuForCausalLM, PreTrainedTokenizerBase]:
    """Weights in fp32 whatever the file holds, so the numbers don't depend on the CPU's bf16 support."""
    model = YoutuForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.train(False)
    return model, AutoTokenizer.from_pretrained(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=200, help="problems of each family in each language")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--int4", action="store_true", help="round every matrix to int4 in blocks of 32 first")
    parser.add_argument("--no-thinking", action="store_true", help="ask for the answer without a derivation")
    parser.add_argument("--second-turn", action="store_true", help="ask after another question and answer")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show-wrong", type=int, default=0, metavar="N")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, tokenizer = load(args.model)
    if args.int4:
        with torch.no_grad():
            for weight in (p for p in model.parameters() if p.ndim == 2):
                weight.copy_(round_to_int4(weight))
    problems = [p for family in MEASURED for language in LANGUAGES for p in held_out(family, args.count, args.seed, language)]
    history = [{"role": "user", "content": "What is 5 + 6?"}, {"role": "assistant", "content": "11"}]
    results, wrong = measure(model, tokenizer, problems, history if args.second_turn else None, thinking=not args.no_thinking)
    table = summary(results)
    print(json.dumps(table, indent=2) if args.json else markdown(table))
    for problem, text in wrong[: args.show_wrong]:
        print(f"{problem.kind} {problem.prompt!r}: {text!r}, not {problem.answer!r}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
