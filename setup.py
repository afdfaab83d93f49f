"""Which folders are packages: ``exporters`` and ``runtimes`` lie beside ``youtu_onnx`` and are imported as parts of it.

The wheel has one import name, since others own the two names. Everything else stands in ``pyproject.toml``; setuptools reads a
mapping of folders from there, too, but then wants every package listed by hand.
"""

from __future__ import annotations

from setuptools import find_packages, setup

BESIDE = ("exporters", "runtimes")

setup(
    packages=[
        *find_packages(include=["youtu_onnx", "youtu_onnx.*"]),
        *(f"youtu_onnx.{name}" for top in BESIDE for name in find_packages(include=[top, f"{top}.*"])),
    ],
    package_dir={"youtu_onnx": "youtu_onnx", **{f"youtu_onnx.{top}": top for top in BESIDE}},
)
