"""The time that a training has had, whatever else the machine did meanwhile."""

from __future__ import annotations

import os
import time

import torch


class Clock:
    """Seconds of training. On a CPU: processor time per thread, so that a busy machine costs nothing; else time as it passes."""

    def __init__(self, on_cpu: bool):
        self.on_cpu = on_cpu

    def now(self) -> float:
        return time.process_time() if self.on_cpu else time.monotonic()

    def since(self, start: float) -> float:
        return (self.now() - start) / (torch.get_num_threads() if self.on_cpu else 1)


def threads_for(most: int, own: int) -> int:
    """All `most` threads where the machine has nothing else to do, else one: threads that wait for each other at every
    operation are slower than one alone. `own` threads of the last minute's load are this process's."""
    others = os.getloadavg()[0] - own
    return most if others < 0.5 else 1
