"""Growing depth by stacking: a trained shallow model repeated makes a deeper one's beginning (arXiv 2405.15319)."""

from __future__ import annotations

import re

import torch
from torch import Tensor

LAYER = re.compile(r"^(.*layers\.)(\d+)(\..*)$")


def source(name: str, depth: int) -> str:
    """The parameter of a model of `depth` layers that `name` of the deeper model begins as: layer i from layer i mod depth."""
    found = LAYER.match(name)
    return f"{found[1]}{int(found[2]) % depth}{found[3]}" if found else name


def stacked(weights: dict[str, Tensor], depth: int, names: list[str]) -> dict[str, Tensor]:
    """Weights for the parameters `names` of the deeper model."""
    return {name: weights[source(name, depth)].clone() for name in names}


def copy_state(
    old: torch.optim.Optimizer, new: torch.optim.Optimizer, old_names: dict[int, str], new_names: dict[int, str], depth: int
) -> None:
    """Gives every parameter of `new` the momenta of the one it was copied from. Names are keyed by a parameter's id."""
    states = {old_names[id(p)]: state for p, state in old.state.items()}
    for group in new.param_groups:
        for parameter in group["params"]:
            state = states.get(source(new_names[id(parameter)], depth))
            if state:
                new.state[parameter] = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}
