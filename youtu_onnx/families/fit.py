"""Whether a checkpoint's tensors are those that its ``config.json`` promises, and what doesn't fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from youtu_onnx.core.safetensors_files import TensorInfo, is_harmless
from youtu_onnx.families.architecture import Architecture
from youtu_onnx.families.tensor_names import nearest

Shapes = Mapping[str, tuple[int, ...]]


def misfits(architecture: Architecture, tensors: Mapping[str, TensorInfo]) -> list[str]:
    """Every way in which the tensors differ from what the architecture needs; one, where one change to the file explains all."""
    if architecture.num_hidden_layers > len(tensors):  # before a table of that many names is built
        return [f"config.json says num_hidden_layers {architecture.num_hidden_layers}; there are {len(tensors)} tensors in all"]
    needed = architecture.tensor_shapes()
    unread = architecture.unread_tensors()
    there = {name: info.shape for name, info in tensors.items() if name in needed or not (is_harmless(name) or name in unread)}
    if there == needed:
        return []
    change = _one_change(architecture, needed, there)
    if change is not None:
        name, ours, theirs = change
        return [f"it says {name} {_json(ours)}, and they are those of a model with {name} {_json(theirs)}"]
    unneeded = [name for name in there if name not in needed]
    faults = [f"{name} is missing{_beside(name, unneeded)}" for name in needed if name not in there]
    faults += [
        f"{name} has shape {list(shape)}; expected {list(needed[name])}"
        for name, shape in there.items()
        if name in needed and shape != needed[name]
    ]
    return faults + [f"{name} is not part of this architecture" for name in unneeded]


def _beside(name: str, unneeded: list[str]) -> str:
    found = nearest(name, unneeded)
    return f" (there is {found})" if found else ""


def _one_change(architecture: Architecture, needed: Shapes, there: Shapes) -> tuple[str, Any, Any] | None:
    """A field of the architecture, its value and the one with which all would fit; None: none, or more than one would do."""
    a: Any = architecture
    found = []
    for field in dataclasses.fields(a):
        value = getattr(a, field.name)
        for other in {*_others(a, field.name, value, needed, there)} - {value}:
            changed = dataclasses.replace(a, **{field.name: other})
            if changed.tensor_shapes() == there:
                found.append((field.name, value, other))
    return found[0] if len(found) == 1 else None


def _others(a: Any, name: str, value: Any, needed: Shapes, there: Shapes) -> Iterator[Any]:
    """Values of a field that may fit: a flag's other one; of a number, what follows from a shape that depends on it."""
    if isinstance(value, bool):
        yield not value
    elif name == "num_hidden_layers":
        yield len({tensor.split(".")[2] for tensor in there if tensor.startswith("model.layers.")}) or value
    elif name == "q_lora_rank" and value is None:
        yield from {size for shape in there.values() for size in shape}
    elif type(value) is int:
        if name == "q_lora_rank":
            yield None
        more = dataclasses.replace(a, **{name: value + 1}).tensor_shapes()
        for tensor, shape in needed.items():
            wrong = there.get(tensor, shape)
            if wrong != shape and len(wrong) == len(shape):
                for size, larger, actual in zip(shape, more[tensor], wrong, strict=True):
                    if larger != size and (actual - size) % (larger - size) == 0:
                        yield value + (actual - size) // (larger - size)
                break


def _json(value: Any) -> str:
    return "null" if value is None else str(value).lower()
