"""Programs under measurement: how long they take and what memory they hold, as the system sees it."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
LOOK_EVERY = 0.25
"""Seconds between two looks at a running program's memory; a look takes microseconds."""


@dataclass(frozen=True)
class Memory:
    """Resident bytes, and those of them that are the process's own: mapped files are shared and can be dropped.

    ``anonymous`` is None where the system doesn't say (all but Linux).
    """

    resident: int
    anonymous: int | None

    @classmethod
    def of(cls, pid: int) -> Memory | None:
        """None once the process is gone."""
        try:
            status = Path(f"/proc/{pid}/status")
            if not status.is_file():
                return cls(psutil.Process(pid).memory_info().rss, None)
            fields = dict(line.split(":", 1) for line in status.read_text(encoding="ascii", errors="replace").splitlines())
            return cls(*(int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon")))
        except (OSError, KeyError, psutil.Error):  # a process that ends loses these fields first
            return None

    def highest(self, other: Memory | None) -> Memory:
        if other is None:
            return self
        both = None if self.anonymous is None or other.anonymous is None else max(self.anonymous, other.anonymous)
        return Memory(max(self.resident, other.resident), both)


@dataclass(frozen=True)
class Finished:
    """A program that ran to its end, or to its limit: then ``output`` is None. ``peak`` is None if it was too quick to see."""

    output: str | None
    seconds: float
    peak: Memory | None


def run(command: Sequence[str], limit: float | None = None) -> Finished:
    """Run a program in this project's folder, looking at its memory as it goes.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        with _started(command, stdout=out, stderr=said) as process:
            peak, code = None, None
            while code is None and (limit is None or time.perf_counter() - started < limit):
                try:
                    code = process.wait(LOOK_EVERY)
                except subprocess.TimeoutExpired:
                    seen = Memory.of(process.pid)
                    peak = seen.highest(peak) if seen else peak
        seconds = time.perf_counter() - started
        if code is None:
            return Finished(None, seconds, peak)
        out.seek(0)
        said.seek(0)
        if code:
            raise _failed(command, code, said.read())
        return Finished(_text(out.read()), seconds, peak)


def seconds_to_output(command: Sequence[str]) -> float:
    """From starting a program to the first byte that it prints, or to its end if it prints none.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        with _started(command, stdout=subprocess.PIPE, stderr=said) as process:
            assert process.stdout is not None
            with process.stdout as out:
                out.read(1)
                seconds = time.perf_counter() - started
                out.read()
            code = process.wait()
        if code:
            said.seek(0)
            raise _failed(command, code, said.read())
    return seconds


def memory_when_idle(command: Sequence[str], idle: float = 1.0, limit: float = 600.0) -> Memory:
    """What a program holds that has done its work and waits for stdin: once it slept for ``idle`` seconds.

    Raises:
        RuntimeError: it ended by itself, or was still busy after ``limit`` seconds.
    """
    with tempfile.TemporaryFile() as said, _started(command, stdin=subprocess.PIPE, stdout=said, stderr=said) as process:
        started = since = time.perf_counter()
        seen, used = psutil.Process(process.pid), -1.0
        while time.perf_counter() - started < limit:
            time.sleep(0.1)
            if process.poll() is not None:
                said.seek(0)
                raise RuntimeError(f"{' '.join(command)}\nended instead of waiting:\n{_text(said.read())[-2000:]}")
            # The clock of processor time ticks in hundredths: a small program may be done before its first tick.
            times, waits = seen.cpu_times(), seen.status() == psutil.STATUS_SLEEPING
            if times.user + times.system > used or not waits:
                used, since = times.user + times.system, time.perf_counter()
            elif time.perf_counter() - since >= idle:
                held = Memory.of(process.pid)
                assert held is not None
                return held
        raise RuntimeError(f"{' '.join(command)}\nwas still busy after {limit:.0f} s")


@contextmanager
def _started(command: Sequence[str], **streams: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that doesn't outlive the block."""
    process = subprocess.Popen(command, cwd=ROOT, **{"stdin": subprocess.DEVNULL} | streams)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()


def _failed(command: Sequence[str], code: int, said: bytes) -> RuntimeError:
    return RuntimeError(f"{' '.join(command)}\nfailed with exit code {code}:\n{_text(said)[-2000:]}")


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
