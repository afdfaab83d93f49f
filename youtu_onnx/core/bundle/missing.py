"""Why there is no bundle where somebody named one, and what to type instead."""

from __future__ import annotations

import difflib
from pathlib import Path

from youtu_onnx.core.bundle import names
from youtu_onnx.core.errors import BundleError
from youtu_onnx.core.foreign import is_checkpoint, recognised, some, within
from youtu_onnx.core.hub import BUILT_IN, HUB_ID
from youtu_onnx.core.shell import quoted


def is_bundle(folder: Path) -> bool:
    """Whether ``youtu-onnx export`` wrote it: a bundle, or several in one folder."""
    return (folder / names.MANIFEST).is_file() or (folder / names.VARIANTS).is_file()


def no_bundle(path: Path) -> BundleError:
    """For a path that is no folder with a manifest."""
    if not path.exists():
        return BundleError(f"no bundle at {path}: nothing is there", hint=_instead_of_nothing(path))
    around = next((folder for folder in list(path.absolute().parents)[:2] if is_bundle(folder)), None)
    if around is not None:
        kind = "a folder within" if path.is_dir() else "a file of"
        return BundleError(f"no bundle at {path}: it is {kind} one", hint=f"name the bundle's folder: {quoted(around)}")
    found = recognised(path)
    if found is not None:
        hint = found.hint if "snapshots" in found.hint else f"a bundle is made of a checkpoint: {_export('CHECKPOINT', 'BUNDLE')}"
        return BundleError(f"no bundle at {path}: it is {found.what}", hint=hint)
    if path.is_file():
        return BundleError(f"no bundle at {path}: it is not a folder", hint="name the folder that youtu-onnx export wrote")
    if is_checkpoint(path):
        return BundleError(
            f"{path} is not a bundle: it is a checkpoint", hint=f"export it first: {_export(path, f'{path.resolve().name}-onnx')}"
        )
    inner = within(path, is_bundle)
    if inner:
        return BundleError(f"{path} is not a bundle, but a folder with {some(inner)}", hint=f"name {quoted(path / inner[0])}")
    return BundleError(f"{path} is not a bundle: it has no {names.MANIFEST}", hint="name the folder that youtu-onnx export wrote")


def _instead_of_nothing(path: Path) -> str:
    """``path`` leads nowhere: a checkpoint's name, a slip of the pen, or what is still to be made."""
    name = str(path)
    if name in BUILT_IN:
        ready = f"youtu-onnx run {name}, which keeps it under this name"
        return f"it is a checkpoint that comes with the package; export it first: {_export(name, f'{name}-onnx')}; or {ready}"
    beside = path.parent if path.parent.is_dir() else Path()
    bundles = within(beside, is_bundle) if beside.is_dir() else []
    near = difflib.get_close_matches(path.name, bundles, n=1)
    if near:
        return f"did you mean {quoted(beside / near[0])}?"
    if HUB_ID.fullmatch(name) and not path.parent.exists():
        return (
            f"if it is a checkpoint on the hub, export it first: {_export(name, path.name)}; "
            f"if it is a bundle: hf download {name} --local-dir {path.name}"
        )
    there = f"; bundles that are there: {some(str(beside / one) for one in bundles)}" if bundles else ""
    return f"make one with: {_export('youtu-nano', path)}{there}"


def _export(model: str | Path, output: str | Path) -> str:
    return f"youtu-onnx export --model {quoted(model)} --output {quoted(output)}"
