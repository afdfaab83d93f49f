"""Options that the trainings of all stages have."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from .clock import threads_for
from .session import Plan
from .store import DEFAULT
from .trainer import Rates


def add(parser: argparse.ArgumentParser, *, hours: float, rows: str, row_length: int, rates: Rates, log_every: int) -> None:
    parser.add_argument("--hours", type=float, default=hours, help="of training, over all sessions")
    parser.add_argument("--state", type=Path, default=DEFAULT, help="folder of the run, outside the repository")
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto")
    parser.add_argument("--threads", type=int, default=1, help="at most; one while the machine is busy")
    parser.add_argument("--rows", type=int, help=f"rows of a step; by default {rows}")
    parser.add_argument("--row-length", type=int, default=row_length)
    parser.add_argument("--matrix-rate", type=float, default=rates.matrix)
    parser.add_argument("--other-rate", type=float, default=rates.other)
    parser.add_argument("--save-every", type=float, default=4, metavar="MINUTES")
    parser.add_argument("--measure-every", type=float, default=20, metavar="MINUTES")
    parser.add_argument("--measured", type=int, default=12, metavar="N", help="problems of each family in a measurement")
    parser.add_argument("--log-every", type=int, default=log_every, metavar="STEPS")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--no-compile", action="store_true", help="start at once; a sixth slower")


def device(args: argparse.Namespace) -> torch.device:
    """The one asked for; as a side effect seeds torch and says how many threads it begins with: one where the machine is busy."""
    chosen = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device)
    torch.set_num_threads(threads_for(args.threads, own=0) if chosen.type == "cpu" else args.threads)
    torch.manual_seed(args.seed)
    return chosen


def plan(args: argparse.Namespace) -> Plan:
    return Plan(
        budget=3600 * args.hours,
        save_every=60 * args.save_every,
        measure_every=60 * args.measure_every,
        log_every=args.log_every,
        threads=args.threads,
    )
