"""How many threads a session computes with."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from youtu_onnx.core.errors import UsageError

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def thread_count(requested: int | None) -> int:
    """The number asked for, else one per physical core that this process may use.

    Two threads on one core share its arithmetic units and only get in each other's way. A container's quota counts
    too: ONNX Runtime itself would start a thread for every core of the host.

    Raises:
        UsageError: a number below 1.
    """
    if requested is not None:
        if requested < 1:
            raise UsageError(f"{requested} threads can't compute", hint="pass a number from 1, or leave --threads away")
        return requested
    counts = [psutil.cpu_count(logical=False) or os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        counts.append(len(os.sched_getaffinity(0)))
    counts.append(_quota() or counts[0])
    return max(1, min(counts))


def _quota() -> int | None:
    """Whole processors that the control group grants, None where it sets no limit or there is none."""
    try:
        quota, period = CPU_QUOTA.read_text(encoding="ascii").split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None
