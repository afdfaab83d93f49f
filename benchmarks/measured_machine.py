"""The machine that numbers were taken on, in the words that matter for them."""

from __future__ import annotations

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from youtu_onnx.core.machine import cpu_name, cpuinfo, memory

INT8_PRODUCTS = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "asimddp": "NEON dot product",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
}
"""What a CPU may have for int8 products, by /proc/cpuinfo's names, the best first."""


@dataclass(frozen=True)
class MeasuredMachine:
    """``read_gb_per_s``: 10^9 bytes a second, all cores reading together."""

    cpu: str
    instructions: str
    cores: int
    memory_gb: float
    read_gb_per_s: float
    system: str

    @classmethod
    def here(cls, threads: int) -> MeasuredMachine:
        flags = (cpuinfo("flags", "Features") or "").split()
        instructions = next((label for flag, label in INT8_PRODUCTS.items() if flag in flags), "")
        return cls(
            cpu_name(),
            instructions,
            threads,
            memory()[0] / 1e9,
            read_bandwidth(threads),
            f"{platform.system()} {platform.machine()}",
        )

    def __str__(self) -> str:
        with_what = f" with {self.instructions}" if self.instructions else ""
        return (
            f"{self.cores} {'core' if self.cores == 1 else 'cores'} of {self.cpu}{with_what}, {self.memory_gb:.0f} GB of "
            f"memory read at {self.read_gb_per_s:.0f} GB/s, {self.system}"
        )


def read_bandwidth(threads: int, size: int = 2**29, repetitions: int = 5) -> float:
    """GB/s at which ``threads`` threads together read ``size`` bytes, far more than any cache holds; the best repetition."""
    parts = np.array_split(np.ones(size // 4, np.float32), threads)
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repetitions):
            started = time.perf_counter()
            list(pool.map(np.max, parts))  # numpy lets go of the interpreter meanwhile, and a maximum costs less than the read
            best = min(best, time.perf_counter() - started)
    return size / best / 1e9


def load_average() -> float | None:
    """Programs that wanted a core in the last minute: what else was going on."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
