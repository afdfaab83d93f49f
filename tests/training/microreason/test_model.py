"""The model: what it sees, that routing is what an explicit mask says, and that dropped rows change nothing."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from training.microreason.cache import Cache  # noqa: E402
from training.microreason.config import PRESETS, MicroReasonConfig  # noqa: E402
from training.microreason.model import MicroReasonForCausalLM  # noqa: E402
from training.microreason.routing import Soft  # noqa: E402

TINY = replace(PRESETS["tiny"], vocab_size=97, attention_window=4)
ROUTED = replace(TINY, attention_routing=True)


def model_of(config: MicroReasonConfig, seed: int = 0) -> MicroReasonForCausalLM:
    """Random weights, with gates that differ from token to token: about half of them shut."""
    torch.manual_seed(seed)
    model = MicroReasonForCausalLM(config)
    for name, parameter in model.named_parameters():
        if "self_attn.gate_proj.weight" in name:
            torch.nn.init.normal_(parameter)
        elif "self_attn.gate_proj.bias" in name:
            torch.nn.init.zeros_(parameter)
        elif parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval().requires_grad_(False)


def tokens(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, TINY.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("preset", "millions"), [("tiny", 0.5), ("small", 5), ("27m", 27)])
def test_presets_have_the_size_of_their_name(preset, millions):
    with torch.device("meta"):
        count = sum(p.numel() for p in MicroReasonForCausalLM(PRESETS[preset]).parameters())
    assert abs(count / 1e6 - millions) < 0.1 * millions


def test_config_round_trips_and_refuses_what_it_would_not_build():
    assert MicroReasonConfig.from_dict(ROUTED.to_dict()) == ROUTED
    assert ROUTED.to_dict()["model_type"] == "microreason"
    with pytest.raises(ValueError, match="model_type"):
        MicroReasonConfig.from_dict({"model_type": "llama"})
    with pytest.raises(ValueError, match="one per head"):
        MicroReasonConfig.from_dict({"num_key_value_heads": 2})
    with pytest.raises(ValueError, match="at least 1"):
        replace(TINY, attention_window=0)


def test_dense_model_is_qwen3():
    transformers = pytest.importorskip("transformers")
    model = model_of(TINY)
    theirs = transformers.Qwen3Config(**{k: v for k, v in TINY.to_dict().items() if k != "model_type"})
    reference = transformers.Qwen3ForCausalLM(theirs).eval()
    weights = {name: w for name, w in model.state_dict().items() if "self_attn.gate_proj" not in name}
    reference.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
    ids = tokens(2, 19)
    assert close(model(ids), reference(ids).logits)


@pytest.mark.parametrize("config", [TINY, ROUTED])
def test_a_token_never_sees_a_later_one(config):
    model, ids = model_of(config), tokens(1, 20)
    changed = ids.clone()
    changed[0, 12:] = tokens(1, 8, seed=5)
    before, after = model(ids), model(changed)
    assert before.shape == (1, 20, TINY.vocab_size)
    assert close(before[:, :12], after[:, :12]) and not close(before[:, 12:], after[:, 12:])


@pytest.mark.parametrize("config", [TINY, ROUTED])
def test_packed_documents_do_not_see_each_other(config):
    model, first, second = model_of(config), tokens(1, 9, seed=2), tokens(1, 13, seed=3)
    packed = torch.cat((first, second, torch.zeros(1, 2, dtype=torch.long)), dim=1)
    documents = torch.tensor([[1] * 9 + [2] * 13 + [0] * 2])
    positions = torch.cat((torch.arange(9), torch.arange(13), torch.zeros(2, dtype=torch.long)))[None]
    together = model(packed, positions, documents)
    assert close(together[:, :9], model(first)) and close(together[:, 9:22], model(second))
    assert together.isfinite().all()


def test_gates_that_begin_open_leave_the_model_dense():
    torch.manual_seed(0)
    dense = MicroReasonForCausalLM(TINY)
    routed = MicroReasonForCausalLM(ROUTED)
    routed.load_state_dict(dense.state_dict())
    assert torch.equal(dense(tokens(2, 20)), routed(tokens(2, 20)))


def plain_reference(model: MicroReasonForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """The routed model once more, one sequence, one head and one query at a time, from the description."""
    c, eps = model.config, model.config.rms_norm_eps
    half = c.head_dim // 2

    def norm(x, weight):
        return x / (x.pow(2).mean() + eps).sqrt() * weight

    def turned(x, at):
        out = x.clone()
        for i in range(half):
            angle = torch.tensor(at * c.rope_theta ** (-2 * i / c.head_dim))
            out[i] = x[i] * angle.cos() - x[i + half] * angle.sin()
            out[i + half] = x[i + half] * angle.cos() + x[i] * angle.sin()
        return out

    xs = [model.model.embed_tokens.weight[i] for i in ids]
    for layer in model.model.layers:
        a, m = layer.self_attn, layer.mlp
        normed = [norm(x, layer.input_layernorm.weight) for x in xs]
        opened = [torch.sigmoid(a.gate_proj(x)).item() > 0.5 for x in normed]
        outs = [torch.zeros(c.num_attention_heads, c.head_dim) for _ in xs]
        for h in range(c.num_attention_heads):
            span = slice(h * c.head_dim, (h + 1) * c.head_dim)
            q = [turned(norm(a.q_proj(x)[span], a.q_norm.weight), t) for t, x in enumerate(normed)]
            k = [turned(norm(a.k_proj(x)[span], a.k_norm.weight), t) for t, x in enumerate(normed)]
            for i in range(len(xs)):
                visible = [j for j in range(i + 1) if opened[j] or i - j < c.attention_window]
                weights = torch.stack([q[i] @ k[j] / c.head_dim**0.5 for j in visible]).softmax(0)
                outs[i][h] = sum(w * a.v_proj(normed[j])[span] for w, j in zip(weights, visible, strict=True))
        xs = [x + a.o_proj(out.flatten()) for x, out in zip(xs, outs, strict=True)]
        normed = [norm(x, layer.post_attention_layernorm.weight) for x in xs]
        xs = [x + m.down_proj(torch.nn.functional.silu(m.gate_proj(n)) * m.up_proj(n)) for x, n in zip(xs, normed, strict=True)]
    return torch.stack([model.model.embed_tokens.weight @ norm(x, model.model.norm.weight) for x in xs])


def test_routed_attention_is_what_the_description_says():
    model, ids = model_of(ROUTED), tokens(1, 24)
    gates = model.model(ids).gates
    assert all(0.1 < (g > 0).float().mean() < 0.9 for g in gates)
    assert close(model(ids)[0], plain_reference(model, ids[0]))
    assert not close(model(ids), model_of(TINY)(ids))


@pytest.mark.parametrize("config", [TINY, ROUTED])
@pytest.mark.parametrize("chunks", [[24], [10, 14], [7, 1, 1, 1, 9, 5], [1] * 24])
def test_cache_gives_what_the_whole_gives_and_drops_shut_rows(config, chunks):
    model, ids, cache = model_of(config), tokens(1, 24), Cache()
    at, outs = 0, []
    for size in chunks:
        outs.append(model(ids[:, at : at + size], cache=cache))
        at += size
    assert close(torch.cat(outs, dim=1), model(ids))
    gates = model.model(ids).gates
    if config.attention_routing:
        recent = torch.arange(24) > 24 - TINY.attention_window
        assert cache.rows == [int(((g[0] > 0) | recent).sum()) for g in gates]
        assert sum(cache.rows) < 24 * len(cache.rows)
    else:
        assert cache.rows == [24] * TINY.num_hidden_layers


def test_batch_with_padding_gives_what_each_sequence_gives_alone():
    model, cache = model_of(ROUTED), Cache()
    short, long, more = tokens(1, 9, seed=2), tokens(1, 17, seed=3), tokens(2, 6, seed=4)
    ids = torch.cat((torch.cat((torch.zeros(1, 8, dtype=torch.long), short), dim=1), long))
    documents = (torch.arange(17) >= torch.tensor([[8], [0]])).long()
    positions = (documents.cumsum(1) - 1).clamp(min=0)
    model(ids, positions, documents, cache)
    for step in range(6):
        out = model(more[:, step : step + 1], torch.tensor([[9 + step], [17 + step]]), cache=cache)
    assert close(out[0, 0], model(torch.cat((short, more[:1]), dim=1))[0, -1])
    assert close(out[1, 0], model(torch.cat((long, more[1:]), dim=1))[0, -1])
    assert max(layer.valid.shape[1] for layer in cache.layers) < 23


def test_soft_gates_learn_and_rounded_ones_are_the_hard_mask():
    model, ids = model_of(ROUTED), tokens(2, 24)
    rounded = Soft(noise=False, straight_through=True)
    assert close(model(ids, soft=rounded), model(ids))
    model.requires_grad_(True)
    for soft in (Soft(), rounded):
        model.zero_grad()
        model(ids, soft=soft).square().mean().backward()
        assert all(layer.self_attn.gate_proj.weight.grad.abs().sum() > 0 for layer in model.model.layers)
    with pytest.raises(ValueError, match="nothing is cached"):
        model(ids, cache=Cache(), soft=Soft())
