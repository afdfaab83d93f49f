"""The machine underneath: what it is, and what this process has taken of it so far.

psutil rather than the standard library's ``resource``: that one isn't there on Windows, and its peak is inherited from the
parent through fork and exec on Linux.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """What a measurement has to name to be worth anything. ``cores``: physical; memory within a container's limit."""

    cpu: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    onnxruntime: str

    @classmethod
    def here(cls) -> Machine:
        import onnxruntime

        return cls(
            cpu=cpu_name(),
            cores=cores(),
            memory_bytes=memory()[0],
            system=system(),
            python=platform.python_version(),
            onnxruntime=onnxruntime.__version__,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def system() -> str:
    """``Linux 6.12 x86_64``, ``Windows 11 AMD64``: of a kernel's release only what leads, which isn't its builder's."""
    release = re.match(r"\w+(\.\d+)?", platform.release())
    return " ".join(filter(None, (platform.system(), release and release[0], platform.machine())))


def cpu_name() -> str:
    """As its maker calls it, where the system tells."""
    for source in (_cpu_of_linux, _cpu_of_macos, _cpu_of_windows):
        if name := source():
            return re.sub(r"\s+", " ", name).strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Physical ones."""
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def memory() -> tuple[int, int]:
    """Bytes in all and available, within a container's limit where there is one."""
    found = psutil.virtual_memory()
    for group in (_CgroupMemory.v2(CGROUPS), _CgroupMemory.v1(CGROUPS)):
        if group is not None and group.limit < found.total:
            return group.limit, min(found.available, max(0, group.limit - group.used))
    return found.total, found.available


@dataclass(frozen=True)
class _CgroupMemory:
    """A container's limit, and what counts against it and can't be dropped: pages of files that nobody used lately can."""

    limit: int
    used: int

    @classmethod
    def v2(cls, groups: Path) -> _CgroupMemory | None:
        return cls._read(groups / "memory.max", groups / "memory.current", groups / "memory.stat", "inactive_file")

    @classmethod
    def v1(cls, groups: Path) -> _CgroupMemory | None:
        folder = groups / "memory"
        return cls._read(
            folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes", folder / "memory.stat", "total_inactive_file"
        )

    @classmethod
    def _read(cls, limit: Path, usage: Path, stat: Path, reclaimable: str) -> _CgroupMemory | None:
        """None where there is no such group, or it has no limit (``max``)."""
        try:
            fields = dict(line.split() for line in stat.read_text().splitlines())
            return cls(int(limit.read_text()), int(usage.read_text()) - int(fields.get(reclaimable, 0)))
        except (OSError, ValueError):
            return None


def resident_bytes() -> int:
    """Memory of this process that is in RAM now."""
    return int(psutil.Process().memory_info().rss)


def give_back_memory() -> None:
    """What was freed goes back to the system. glibc keeps freed pieces of up to 32 MB for later: gigabytes, after many of them.
    Elsewhere nothing is done."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def peak_bytes() -> int:
    """The most of this process that ever was in RAM."""
    own = psutil.Process().memory_info()
    if (peak := getattr(own, "peak_wset", None)) is not None:  # Windows
        return int(peak)
    try:  # Linux: since exec, unlike getrusage's number
        if found := re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE):
            return max(int(found[1]) * 1024, int(own.rss))
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, int(own.rss))


def process_age() -> float:
    """Seconds since the system started this process: the interpreter's own start and the imports count."""
    try:  # psutil adds the boot time on Linux, which the kernel tells in whole seconds; this is exact to 10 ms
        fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        age = -1.0
    return age if age > 0 else max(0.0, time.time() - psutil.Process().create_time())


def cpuinfo(*keys: str) -> str | None:
    """The first value of the first of these keys that Linux's ``/proc/cpuinfo`` has."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = (re.search(rf"^{key}\s*:\s*(\S.*)$", text, re.MULTILINE) for key in keys)
    return next((one[1].strip() for one in found if one), None)


def _cpu_of_linux() -> str | None:
    return cpuinfo("model name", "Hardware", "Model")


def _cpu_of_macos() -> str | None:
    if sys.platform != "darwin":
        return None
    try:
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _cpu_of_windows() -> str | None:
    if sys.platform != "win32":
        return None
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0])
    except OSError:
        return None
