"""What torch's exporter to ONNX is given is what it would make itself of a program, in half the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from youtu_onnx.graphs import trace as tracing
from youtu_onnx.graphs.trace import Part, trace

Made = tuple[Tensor, ...]


class Computes(nn.Module):
    def __init__(self, compute: Callable[[Tensor, Tensor], Made]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, numbers: Tensor, codes: Tensor) -> Made:
        return self.compute(numbers, codes)


def in_place(numbers: Tensor, codes: Tensor) -> Made:
    made = numbers.clone()
    made.add_(1).mul_(2)
    return (made - codes,)


WITH_WORDS: dict[str, Callable[[Tensor, Tensor], Made]] = {
    "bits": lambda x, n: ((n & 6) ^ (n | 1), (n & n[:, :1]) | (n ^ n[:, 1:2])),
    "casts": lambda x, n: (n.to(torch.float32) + x, x.to(torch.float64), x.to(torch.int32)),
    "casts to what it is": lambda x, n: (x.to(torch.float32) * 2, x.to(torch.float32), n.to(torch.int64)),
    "pieces": lambda x, n: (*x.chunk(3, -1), *n.chunk(2, 1)),
    "fewer pieces than asked for": lambda x, n: tuple(x.chunk(5, -1)),
    "pieces in two": lambda x, n: (x.chunk(2, -1)[1] * x.chunk(2, -1)[0][..., :3],),
    "layers": lambda x, n: (x.reshape(-1, 1, 7).softmax(-1), nn.functional.silu(x) @ x.transpose(-1, -2)),
    "either": lambda x, n: (torch.where(x > 0, 0.0, -1.0), torch.where(n > 2, x, -x)),
}
WITHOUT: dict[str, Callable[[Tensor, Tensor], Made]] = {
    "in place": in_place,
    "einsum": lambda x, n: (torch.einsum("bi,bj->bij", x, n.to(torch.float32)),),
    "casts with words of their own": lambda x, n: (x.to(torch.float64, copy=True), n.to(x)),
    "a number or another": lambda x, n: (torch.where(x > 0, x, 0.0),),
}


def part(compute: Callable[[Tensor, Tensor], Made]) -> Part:
    inputs = [torch.ones(4, 7), torch.ones(4, 7, dtype=torch.int64)]
    return Part(lambda: Computes(compute), lambda: [torch.ones_like(one) for one in inputs], [{0: "batch"}] * 2)


def decomposed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Filled with whether torch traced a program a second time."""
    seen: list[bool] = []

    def counted(program: ExportedProgram, *given: object, **more: object) -> ExportedProgram:
        seen.append(True)
        return own(program, *given, **more)

    own = ExportedProgram.run_decompositions
    monkeypatch.setattr(ExportedProgram, "run_decompositions", counted)
    return seen


def computed(model: ir.Model, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {one.name: value for one, value in zip(session.get_inputs(), inputs, strict=True)})


def operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def are_torchs(made: ir.Model, compute: Callable[[Tensor, Tensor], Made]) -> None:
    generator = np.random.default_rng(0)
    inputs = [generator.standard_normal((4, 7)).astype(np.float32) * 3, generator.integers(0, 9, (4, 7))]
    for found, wanted in zip(computed(made, inputs), compute(*map(torch.from_numpy, inputs)), strict=True):
        assert found.dtype == wanted.numpy().dtype
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-6, atol=1e-6)


def test_numbers_are_torchs_and_operators_the_exporters_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = decomposed(monkeypatch)
    parts = {name: part(compute) for name, compute in WITH_WORDS.items()}
    made = trace(parts)
    assert not seen
    for name, compute in WITH_WORDS.items():
        are_torchs(made[name], compute)
    monkeypatch.setattr(tracing, "without_composites", lambda program: None)
    own = trace(parts)
    assert seen and {name: operators(made[name]) for name in parts} == {name: operators(own[name]) for name in parts}


@pytest.mark.parametrize("name", WITHOUT)
def test_whatever_else_needs_it_is_decomposed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = decomposed(monkeypatch)
    made = trace({"part": part(WITHOUT[name])})["part"]
    assert seen
    are_torchs(made, WITHOUT[name])
