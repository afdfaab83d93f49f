"""Inputs of a model that is rounded from front to back, beside those that two whole transformers models show."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from transformers import YoutuForCausalLM  # noqa: E402

from tests.tiny_checkpoint import CONFIG, VARIANTS, random_tensors, write_checkpoint  # noqa: E402
from youtu_onnx.families.checkpoint import Checkpoint  # noqa: E402
from youtu_onnx.families.referenced import reference_of  # noqa: E402

SEQUENCES = [list(range(3, 33)), [7] * 11, list(range(40, 57))]
STEPS = (
    ("q_a_proj", "q_proj", "kv_a_proj_with_mqa"),
    ("q_b_proj", "kv_b_proj"),
    ("o_proj",),
    ("gate_proj", "up_proj"),
    ("down_proj",),
)


def inputs_of(model: YoutuForCausalLM) -> dict[str, torch.Tensor]:
    """Of each linear layer and the head, all positions of all sequences below one another."""
    rows: dict[str, list[torch.Tensor]] = {}
    handles = [
        part.register_forward_pre_hook(
            lambda part, given, name=name: rows.setdefault(f"{name}.weight", []).append(given[0].flatten(0, -2))
        )
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Linear)
    ]
    with torch.inference_mode():
        for ids in SEQUENCES:
            model(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return {name: torch.cat(parts).double() for name, parts in rows.items()}


def off(weight: torch.Tensor, name: str) -> torch.Tensor:
    """The matrix, about as far off as rounding makes it."""
    seed = sum(map(ord, name))
    return weight + 0.05 * weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("variant", ["default", "no q_lora", "attention bias"])
def test_each_matrix_has_what_two_whole_models_show(tmp_path: Path, variant: str) -> None:
    """The second one has the rounded matrices of all steps before, and none of later ones."""
    config = CONFIG | VARIANTS[variant]
    folder = write_checkpoint(tmp_path / "one", config, random_tensors(config))
    checkpoint = Checkpoint.open(folder)
    exact, drifted = (YoutuForCausalLM.from_pretrained(folder, dtype=torch.float32).eval() for _ in range(2))
    wanted = inputs_of(exact)
    rounded: dict[str, torch.Tensor] = {}
    pieces = reference_of(checkpoint.family).drifted_moments(checkpoint, SEQUENCES, rounded)
    asked = [("layers", layer, step) for layer in range(config["num_hidden_layers"]) for step in STEPS] + [("head", 0, ())]
    for (where, layer, step), piece in zip(asked, pieces, strict=True):
        seen = inputs_of(drifted)
        assert not rounded, "what is taken over is taken out"
        kinds = {name.split(".")[-2] for name in piece} - {"embed_tokens"}
        assert kinds <= set(step) if where == "layers" else kinds == {"lm_head"}
        for name, products in piece.items():
            found = products()
            if name == "model.embed_tokens.weight":  # tied to the head
                continue
            theirs, ours = wanted[name], seen[name]
            torch.testing.assert_close(found.moments, (ours.T @ ours / len(ours)).float(), rtol=1e-3, atol=1e-4, msg=name)
            cross = ((theirs - ours).T @ ours / len(ours)).float()
            torch.testing.assert_close(found.drift, cross, rtol=1e-2, atol=1e-4, msg=name)
            if where == "layers":
                assert layer == int(name.split(".")[2])
                part = drifted.get_submodule(name.removesuffix(".weight"))
                part.weight.data = rounded[name] = off(part.weight.data, name)


def test_nothing_drifts_where_nothing_is_rounded(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "one", CONFIG))
    reference = reference_of(checkpoint.family)
    plain = {name: one for piece in reference.second_moments(checkpoint, SEQUENCES) for name, one in piece.items()}
    for piece in reference.drifted_moments(checkpoint, SEQUENCES, {}):
        for name, products in piece.items():
            found = products()
            assert not found.drift.any(), name
            torch.testing.assert_close(found.moments, plain[name], rtol=1e-4, atol=1e-5)


def test_products_are_to_be_asked_for_in_their_turn(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "one", CONFIG))
    pieces = reference_of(checkpoint.family).drifted_moments(checkpoint, SEQUENCES, {})
    first = next(pieces)
    name = "model.layers.0.self_attn.kv_a_proj_with_mqa.weight"
    known = first[name]()
    late = next(pieces)
    assert "model.layers.0.self_attn.q_b_proj.weight" in late
    next(pieces)
    assert first[name]() is known
    with pytest.raises(AssertionError, match="its layer has gone on"):
        next(iter(late.values()))()


def test_other_weights_may_be_read_with(tmp_path: Path) -> None:
    """Whose function is the same: inputs are divided where channels are."""
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path / "one", CONFIG))
    reference, factors = reference_of(checkpoint.family), 1 + torch.rand(512, generator=torch.Generator().manual_seed(0))
    weights = reference.rescaled(checkpoint, SEQUENCES, lambda matrices, moments: factors[: len(moments)])
    for own, other in zip(
        reference.drifted_moments(checkpoint, SEQUENCES, {}),
        reference.drifted_moments(checkpoint, SEQUENCES, {}, weights=weights),
        strict=True,
    ):
        for name, products in other.items():
            found = products()
            s = torch.ones(len(found.moments)) if "kv_b" in name or "layers" not in name else factors[: len(found.moments)]
            torch.testing.assert_close(found.moments, own[name]().moments / s / s[:, None], rtol=1e-3, atol=1e-5, msg=name)
