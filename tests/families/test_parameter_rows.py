"""A matrix of the graph is rows of the checkpoint's, times factors: said a second time, for codes that move with their rows."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors
from youtu_onnx.core.recipe import Recipe
from youtu_onnx.core.target import TARGETS
from youtu_onnx.exporters.weights import builder
from youtu_onnx.families.youtu.architecture import Architecture
from youtu_onnx.families.youtu.cache import cache_layout
from youtu_onnx.families.youtu.graph.form import GraphForm
from youtu_onnx.families.youtu.graph.parameters import parameters


@pytest.mark.parametrize("target", ["cpu", "cuda"])
@pytest.mark.parametrize("cache", ["latent", "latent-int8", "expanded"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_are_what_is_built(variant: str, cache: str, target: str) -> None:
    if cache == "latent-int8" and target == "cuda":
        pytest.skip("a cache of bytes is the CPU's")
    config = CONFIG | VARIANTS[variant]
    architecture, tensors = Architecture.from_config(config), random_tensors(config)
    form = GraphForm.of(cache_layout(architecture, cache), Recipe("int4"), TARGETS[target])
    build = builder(tensors.__getitem__)
    matrices = {name: one for name, one in parameters(architecture, form).items() if one.kind == "matrix"}
    assert matrices
    for name, parameter in matrices.items():
        given = {source: tensors[source] for source in parameter.sources}
        made = []
        for rows in parameter.rows:
            matrix = tensors[rows.tensor].float()
            order = torch.arange(len(matrix)) if rows.order is None else rows.order()
            assert torch.equal(order.sort().values, torch.arange(len(matrix))), "every row, once"
            part = matrix[order]
            made.append(part if rows.factors is None else part * rows.factors(given).unsqueeze(1))
        torch.testing.assert_close(torch.cat(made), build(parameter).float(), rtol=1e-6, atol=0, msg=name)
