"""Moves the thresholds of all gates after training: where gates save more than was asked, that buys accuracy back.

    python -m training.microreason.chart MODEL                           # what each move keeps, and what it answers
    python -m training.microreason.thresholds MODEL --shift 2 --output NEW

A gate is open above a score of zero, so what is added to its bias lowers its threshold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from . import package
from .model import MicroReasonForCausalLM
from .trainer import GATE


def biases(model: MicroReasonForCausalLM) -> list[nn.Parameter]:
    """One of each layer."""
    return [p for name, p in model.named_parameters() if GATE in name and name.endswith(".bias")]


@torch.no_grad()
def move(model: MicroReasonForCausalLM, shift: float) -> None:
    """Adds `shift` to the score of every token in every layer."""
    for bias in biases(model):
        bias.add_(shift)


@contextmanager
def moved(model: MicroReasonForCausalLM, shift: float) -> Iterator[None]:
    """For as long as it is entered; then all is bit for bit as before."""
    kept = [bias.detach().clone() for bias in biases(model)]
    move(model, shift)
    try:
        yield
    finally:
        with torch.no_grad():
            for bias, before in zip(biases(model), kept, strict=True):
                bias.copy_(before)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--shift", type=float, required=True, help="above zero more tokens stay in sight")
    parser.add_argument("--output", type=Path, required=True, help="the new model's folder")
    args = parser.parse_args()
    model, words = package.load(args.model)
    move(model, args.shift)
    package.save(model.state_dict(), model.config, words, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
