"""Adapters put into a bundle, and taken out of it, without a new export."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from youtu_onnx.core.bundle import Bundle, Manifest, names
from youtu_onnx.core.bundle.bundle import describe_file
from youtu_onnx.core.bundle.manifest import BundledAdapter
from youtu_onnx.core.bundle.variants import Variants
from youtu_onnx.core.errors import UsageError
from youtu_onnx.families.adapters.choice import NamedAdapter
from youtu_onnx.families.adapters.inputs import AdapterInputs, open_adapter, refuse_without_inputs
from youtu_onnx.runtimes.adapters import UnknownAdapter
from youtu_onnx.runtimes.ort.adapter_files import write_adapter


def add_adapters(path: Path, given: tuple[NamedAdapter, ...]) -> list[Bundle]:
    """Put adapters beside the weights of a bundle, or of every bundle of a folder of variants. One of the same name goes.

    Programs that have the bundle open go on with what they have.

    Raises:
        UsageError: a bundle takes none, or two names differ in nothing but capitals.
        AdapterError: one can't be read or kept beside the weights. Nothing has changed then.
        OSError: the disk is full.
    """
    bundles = _bundles(path)
    for bundle in bundles:
        inputs = AdapterInputs.of(bundle)
        for one in given:
            inputs.values(open_adapter(bundle, one.path, one.name))
    return [_published(bundle, with_adapters(bundle, given)) for bundle in bundles]


def remove_adapter(path: Path, name: str) -> list[Bundle]:
    """Take one out of a bundle, or out of every bundle of a folder of variants.

    Raises:
        UnknownAdapter: one of them hasn't got it. Nothing has changed then.
    """
    bundles = _bundles(path)
    for bundle in bundles:
        refuse_without_inputs(bundle)
        if name not in adapter_names(bundle.manifest):
            raise UnknownAdapter(name, adapter_names(bundle.manifest))
    made = []
    for bundle in bundles:
        [gone] = [one for one in bundle.manifest.adapters or () if one.name == name]
        kept = tuple(one for one in bundle.manifest.adapters or () if one is not gone)
        files = {file: entry for file, entry in bundle.manifest.files.items() if file != gone.file}
        made.append(_published(bundle, replace(bundle.manifest, adapters=kept, files=files)))
        bundle.file(gone.file).unlink(missing_ok=True)
    return made


def adapter_names(manifest: Manifest) -> tuple[str, ...]:
    return tuple(one.name for one in manifest.adapters or ())


def with_adapters(bundle: Bundle, given: tuple[NamedAdapter, ...]) -> Manifest:
    """Write the files, each at once or not at all; the manifest that lists them, which is not written."""
    inputs = AdapterInputs.of(bundle)
    adapters = {one.name: one for one in bundle.manifest.adapters or ()}
    files = dict(bundle.manifest.files)
    for one in given:
        alike = next((name for name in adapters if name.casefold() == one.name.casefold() and name != one.name), None)
        if alike is not None:
            raise UsageError(f"{one.name} and {alike} would be one file on some systems", hint="choose another: NAME=DIR")
        adapter = open_adapter(bundle, one.path, one.name)
        file = f"{names.ADAPTERS}/{one.name}{names.ADAPTER_SUFFIX}"
        place = bundle.file(file)
        place.parent.mkdir(exist_ok=True)
        unfinished = place.with_name(f".{place.name}")
        write_adapter(unfinished, inputs.values(adapter))
        os.replace(unfinished, place)
        adapters[one.name], files[file] = BundledAdapter(one.name, file, adapter.sha256), describe_file(place)
    listed = tuple(adapters[name] for name in sorted(adapters))
    return replace(bundle.manifest, adapters=listed, files=dict(sorted(files.items())))


def _published(bundle: Bundle, manifest: Manifest) -> Bundle:
    place = bundle.file(names.MANIFEST)
    unfinished = place.with_name(f".{place.name}")
    unfinished.write_text(manifest.to_json(), encoding="utf-8")
    os.replace(unfinished, place)
    return Bundle(bundle.path, manifest)


def _bundles(path: Path) -> list[Bundle]:
    if not Variants.are_in(path):
        return [Bundle.open(path)]
    return [Bundle.open(path / target) for target in Variants.open(path).targets]
