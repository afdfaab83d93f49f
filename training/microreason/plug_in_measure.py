"""What adapters add to a bundle, and that the base's answers return: asked of the exported model, in Python and of a server.

    python -m training.microreason.plug_in_measure ~/.cache/youtu-onnx/microreason/base --adapter roman --adapter korvo

The base is exported in int4 without an adapter; each is then loaded at run time, asked, and unloaded. A table says how many of
the problems that no training shows are right, and, for the base's own families, how many replies are the same, token by token,
as before the adapter came. The exit status is 1 where a reply of the base isn't the same after the adapter is gone.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import youtu_onnx
from youtu_onnx.core.bundle import names
from youtu_onnx.problems import families
from youtu_onnx.problems.problem import Problem

from .measure import Share
from .plug_in_ways import Python, Said, Way, started
from .store import DEFAULT

WAYS: Mapping[str, Callable[[Path, int], Way]] = {"python": Python, "server": started}


@dataclass(frozen=True)
class Asked:
    """Right answers to the same problems, before an adapter is loaded, with it, and after it is unloaded; and how many replies
    after are token by token those before."""

    before: Share
    loaded: Share
    after: Share
    returned: int
    of: int


@dataclass(frozen=True)
class Line:
    """One adapter, asked in one way: its own family, and the base's families."""

    adapter: str
    way: str
    own: Asked
    base: Asked

    @property
    def returned(self) -> bool:
        """Whether every reply is again what it was."""
        return self.own.returned == self.own.of and self.base.returned == self.base.of


def share(problems: Sequence[Problem], said: Sequence[Said]) -> Share:
    return Share.among([one.answer == problem.answer for problem, one in zip(problems, said, strict=True)])


def asked(problems: Sequence[Problem], before: Sequence[Said], loaded: Sequence[Said], after: Sequence[Said]) -> Asked:
    same = sum(a == b for a, b in zip(before, after, strict=True))
    return Asked(share(problems, before), share(problems, loaded), share(problems, after), same, len(problems))


def line(way: Way, name: str, folder: Path, own: Sequence[Problem], base: Sequence[Problem]) -> Line:
    """Asks everything three times."""
    problems = [*own, *base]

    def all_of(adapter: str | None) -> list[Said]:
        return [way.ask(problem.prompt, adapter) for problem in problems]

    before = all_of(None)
    way.load(name, folder)
    loaded = all_of(name)
    way.unload(name)
    after = all_of(None)
    n = len(own)
    return Line(
        name,
        way.name,
        asked(own, before[:n], loaded[:n], after[:n]),
        asked(base, before[n:], loaded[n:], after[n:]),
    )


def markdown(lines: Sequence[Line]) -> str:
    titles = ("adapter", "asked in", "problems", "before", "with the adapter", "unloaded again", "replies as before")
    out = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for one in lines:
        for what, found in (("its own", one.own), ("the base's", one.base)):
            cells = (one.adapter, one.way, what, found.before, found.loaded, found.after, f"{found.returned} of {found.of}")
            out.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(out)


def exported(base: Path, folder: Path) -> Path:
    """The base in int4, ready for adapters."""
    return youtu_onnx.export(str(base), folder, precision="int4", adapter_mode="hot").bundle.path


def measure(way: Way, adapters: Mapping[str, Path], count: int, each: int, seed: int) -> list[Line]:
    """`adapters`: folders by family. `count` problems of a family, `each` of every one of the base's."""
    base = [problem for family in families.MEASURED for problem in families.held_out(family, each, seed)]
    return [line(way, name, folder, families.held_out(name, count, seed), base) for name, folder in adapters.items()]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=Path, help="the model's folder, or a bundle that was exported with --adapter-mode hot")
    parser.add_argument("--adapter", action="append", required=True, choices=families.PLUGGED, help="may be repeated")
    parser.add_argument("--state", type=Path, default=DEFAULT / "plug_ins", help="the folder that adapters were trained in")
    parser.add_argument("--way", action="append", choices=WAYS, help="by default both")
    parser.add_argument("--count", type=int, default=60, help="problems of an adapter's family")
    parser.add_argument("--each", type=int, default=4, help="problems of each of the base's families")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server that was started ends too
    adapters = {name: args.state / name / "adapter" for name in args.adapter}
    lines = list[Line]()
    with tempfile.TemporaryDirectory() as scratch:
        bundle = args.base if (args.base / names.MANIFEST).is_file() else exported(args.base, Path(scratch) / "bundle")
        for name in args.way or WAYS:
            way = WAYS[name](bundle, args.threads)
            try:
                lines += measure(way, adapters, args.count, args.each, args.seed)
            finally:
                way.close()
    print(json.dumps([asdict(one) for one in lines], indent=2) if args.json else markdown(lines))
    return 0 if all(one.returned for one in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
