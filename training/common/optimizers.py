"""Muon for the matrices inside layers, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def muon_and_adamw(
    matrices: Sequence[nn.Parameter],
    embeddings: Sequence[nn.Parameter],
    vectors: Sequence[nn.Parameter],
    matrix_rate: float,
    other_rate: float,
) -> list[torch.optim.Optimizer]:
    """Muon spreads each update over all directions of a matrix: faster at these sizes than AdamW alone, and no direction
    grows into the outliers that int4 can't hold."""
    return [
        torch.optim.Muon(matrices, lr=matrix_rate, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [{"params": embeddings, "weight_decay": 0.02}, {"params": vectors, "weight_decay": 0.0}],
            lr=other_rate,
            betas=(0.9, 0.98),
            fused=True,
        ),
    ]
