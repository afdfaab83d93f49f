"""Builds the library before the package is put together.

``YOUTU_ONNX_NATIVE_TARGET`` names the machine that the wheel is for (``aarch64-linux``): then PyPI's ziglang compiles it, for old
systems too, and the wheel says so. Without it the wheel is for this machine, made by its own compiler; only where
there is none, by ziglang, which pip fetches for the time of the build.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))
import building

WANTED = os.environ.get("YOUTU_ONNX_NATIVE_TARGET")
TARGET = building.Target.parse(WANTED) if WANTED else building.Target.here()
OWN = [] if WANTED else building.of_system(TARGET)
"""The compiler of this system, where it is to be used."""
TAGS = {
    ("linux", "x86_64"): "manylinux_2_28_x86_64",
    ("linux", "aarch64"): "manylinux_2_28_aarch64",
    ("macos", "x86_64"): "macosx_11_0_x86_64",
    ("macos", "aarch64"): "macosx_11_0_arm64",
    ("windows", "x86_64"): "win_amd64",
    ("windows", "aarch64"): "win_arm64",
}


class OfOneMachine(Distribution):
    """Files go where a machine's own go."""

    def has_ext_modules(self) -> bool:
        return True


class BuildWithLibrary(build_py):
    """Compiles into the build, never into the sources; but for an editable install, which runs from them."""

    def run(self) -> None:
        super().run()
        folder = Path(building.HERE if self.editable_mode else self.build_lib) / building.NAME
        for (
            suffix
        ) in building.SUFFIXES.values():  # what an earlier build left in the sources was copied; it may be another machine's
            if not self.editable_mode:
                (folder / suffix.format(building.NAME)).unlink(missing_ok=True)
        building.build(folder, TARGET, OWN or building.zig(TARGET))


class WheelOfOneMachine(bdist_wheel):
    """For every Python 3 and one machine. A compiler of the system links its C library, which may be newer than manylinux's: such
    a wheel has the tag of this system alone."""

    def get_tag(self) -> tuple[str, str, str]:
        tag = super().get_tag()[2] if OWN else TAGS[TARGET.system, TARGET.machine]
        return "py3", "none", tag


setup(
    distclass=OfOneMachine,
    cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": WheelOfOneMachine},
    setup_requires=[] if OWN else ["ziglang>=0.13"],  # what pip installs before it builds
)
