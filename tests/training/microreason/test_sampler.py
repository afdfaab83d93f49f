"""Sampling many replies at once: what each token's probability was, and that neighbours in a batch change nothing."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from training.microreason import sampler  # noqa: E402
from training.microreason.config import PRESETS  # noqa: E402
from training.microreason.generate import continuations  # noqa: E402
from training.microreason.model import MicroReasonForCausalLM  # noqa: E402

from .test_model import model_of  # noqa: E402

CONFIG = replace(PRESETS["tiny"], vocab_size=23, attention_window=4, attention_routing=True)
PROMPTS = [[3, 5, 7], [2], [9, 8, 7, 6, 5, 4, 3, 2, 11, 12], [20, 4]]


@pytest.fixture(scope="module")
def model() -> MicroReasonForCausalLM:
    return model_of(CONFIG)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_those_of_a_whole_pass(model, temperature):
    torch.manual_seed(5)
    found = sampler.replies(model, PROMPTS, eos=1, most=24, temperature=temperature)
    for asked, reply in zip(PROMPTS, found, strict=True):
        assert len(reply.tokens) == len(reply.log_probabilities) <= 24
        assert reply.finished == (reply.tokens[-1] == 1) and 1 not in reply.tokens[:-1]
        logits = model(torch.tensor([asked + reply.tokens]))[0, len(asked) - 1 : -1] / temperature
        logs = logits.log_softmax(-1).gather(-1, torch.tensor(reply.tokens)[:, None])[:, 0]
        assert torch.allclose(logs, torch.tensor(reply.log_probabilities), atol=1e-4)


def test_sampled_as_often_as_likely(model):
    torch.manual_seed(6)
    chances = model(torch.tensor([[3, 5, 7]]))[0, -1].softmax(-1)
    drawn = torch.tensor([one.tokens[0] for one in sampler.replies(model, [[3, 5, 7]] * 4000, eos=1, most=1, temperature=1.0)])
    assert torch.allclose(torch.bincount(drawn, minlength=23) / 4000, chances, atol=0.04)


def test_greedy_is_the_same_alone_in_company_and_with_rows_dropped(model):
    together = [one.tokens for one in sampler.replies(model, PROMPTS, eos=1, most=24)]
    assert together == [sampler.replies(model, [asked], eos=1, most=24)[0].tokens for asked in PROMPTS]
    assert [[t for t in row if t != 1] for row in together] == continuations(model, PROMPTS, 1, 24)


def test_sequences_that_are_done_leave_and_the_others_go_on(model):
    """With an end token that comes often, the batch shrinks; each reply is still the one that it has alone."""
    greedy = [one.tokens for one in sampler.replies(model, PROMPTS, eos=-1, most=30)]
    ends = sorted({row[9] for row in greedy} | {row[3] for row in greedy})
    for end in ends:
        for asked, reply, whole in zip(PROMPTS, sampler.replies(model, PROMPTS, end, 30), greedy, strict=True):
            expected = whole[: whole.index(end) + 1] if end in whole else whole
            assert reply.tokens == expected and reply.finished == (end in whole), asked
