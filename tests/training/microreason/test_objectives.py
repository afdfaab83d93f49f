"""Each loss of stages 2 and 3 beside the same in plain numbers."""

import math

import pytest

torch = pytest.importorskip("torch")

from training.microreason import objectives, rounding  # noqa: E402
from training.microreason.objectives import Reach, Target  # noqa: E402
from training.microreason.pupil import exact_paths  # noqa: E402
from training.microreason.routing import Soft  # noqa: E402
from training.microreason.schedule import Schedule  # noqa: E402


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def softmax(row):
    exps = [math.exp(x) for x in row]
    return [e / sum(exps) for e in exps]


def test_distributions_are_compared_from_the_teachers_side():
    teacher, student = numbers(3, 5), numbers(3, 5, seed=1)
    expected = 0.0
    for wanted, found in zip(teacher.tolist(), student.tolist(), strict=True):
        p, q = softmax(wanted), softmax(found)
        expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 3
    assert objectives.divergence(teacher, student).item() == pytest.approx(expected, rel=1e-5)
    assert objectives.divergence(teacher, teacher).item() == pytest.approx(0, abs=1e-6)


def test_a_path_is_the_mean_of_its_tokens():
    hidden, paths = numbers(2, 4, 3), torch.tensor([[0, 1, 1, 2], [2, 2, 0, 3]])
    found = objectives.pooled(hidden, paths, 3)
    assert torch.allclose(found[0], (hidden[0, 1] + hidden[0, 2]) / 2)
    assert torch.allclose(found[1], (hidden[0, 3] + hidden[1, 0] + hidden[1, 1]) / 3)
    assert torch.allclose(found[2], hidden[1, 3])


def test_contrast_is_the_surprise_of_ones_own_path_among_all():
    student, teacher = numbers(4, 6), numbers(4, 6, seed=1)

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    expected = 0.0
    for i, own in enumerate(student.tolist()):
        chances = softmax([cosine(own, other) / objectives.SHARPNESS for other in teacher.tolist()])
        expected -= math.log(chances[i]) / 4
    assert objectives.contrast(student, teacher).item() == pytest.approx(expected, rel=1e-4)
    assert objectives.contrast(teacher, teacher) < objectives.contrast(teacher.roll(1, 0), teacher)


DOCUMENTS = [[1] * 7 + [2] * 3 + [0] * 2, [1] * 12]


def counted(kept, window, shortest):
    """Attended pairs and rows at each document's end, saved and of a dense model, by counting."""
    pairs = rows = all_pairs = all_rows = 0
    for numbered, opened in zip(DOCUMENTS, kept, strict=True):
        for document in set(numbered) - {0}:
            at = [i for i, d in enumerate(numbered) if d == document]
            if len(at) < shortest:
                continue
            for query in at:
                seen = [key for key in at if key <= query]
                all_pairs += len(seen)
                pairs += sum(not opened[key] and query - key >= window for key in seen)
            all_rows += len(at)
            # What the last token saw and the next would not: those whose distance from the last token is a window or more.
            rows += sum(not opened[key] and at[-1] - key >= window for key in at)
    return pairs / all_pairs, rows / all_rows


@pytest.mark.parametrize("shortest", [1, 5])
@pytest.mark.parametrize("window", [1, 3])
def test_what_gates_save_is_counted_pair_by_pair(window, shortest):
    kept = (numbers(2, 12) > 0).float()
    reach = Reach.of(torch.tensor(DOCUMENTS), window, shortest)
    assert [x.item() for x in reach.saved(kept)] == pytest.approx(counted(kept.tolist(), window, shortest))
    assert [x.item() for x in reach.saved(torch.ones(2, 12))] == [0, 0]


def test_the_budget_asks_for_what_is_missing_and_for_nothing_more():
    def share(*values):
        return [(torch.tensor(p, requires_grad=True), torch.tensor(r, requires_grad=True)) for p, r in values]

    target = Target(pairs=0.7, rows=0.6)
    assert objectives.budget(share((0.5, 0.6), (0.7, 0.8)), target).item() == pytest.approx(0.1)
    saving = share((0.9, 0.6), (0.6, 0.9))
    enough = objectives.budget(saving, target)
    enough.backward()
    assert enough.item() == 0 and all(x.grad == 0 for one in saving for x in one)
    lacking = share((0.1, 0.9), (0.1, 0.9))
    objectives.budget(lacking, target).backward()
    assert all(p.grad < 0 and r.grad == 0 for p, r in lacking)  # savings grow where they are too small, and only there


def test_the_target_comes_slowly():
    schedule = Schedule(target=Target(0.8, 0.4), ramp=0.5, hard_from=0.6, rounded_from=0.7)
    assert schedule.asked(0.0) == Target(0, 0) and schedule.asked(0.25) == Target(0.4, 0.2)
    assert schedule.asked(0.5) == schedule.asked(1.0) == Target(0.8, 0.4)
    assert schedule.soft(0.59).noise and not schedule.soft(0.59).straight_through
    assert schedule.soft(0.6) == Soft(schedule.temperature, noise=False, straight_through=True)
    assert [schedule.rounds(0.7, step) for step in range(4)] == [False, True, False, True]
    assert not schedule.rounds(0.69, 1)


def test_a_soft_gate_counts_by_its_chance_and_a_hard_one_by_itself():
    logits = torch.tensor([-30.0, -1.0, 0.5, 30.0], requires_grad=True)
    assert torch.allclose(objectives.kept(logits, 0.3, False), logits.sigmoid())
    noise = torch.logit(torch.rand(200_000, generator=torch.Generator().manual_seed(1)))
    assert ((logits[1] + noise) > 0).float().mean().item() == pytest.approx(logits[1].sigmoid().item(), abs=5e-3)
    hard = objectives.kept(logits, 0.3, True)
    assert hard.tolist() == [0, 0, 1, 1]
    hard.sum().backward()
    assert logits.grad[1] > 0 and logits.grad[2] > 0


@pytest.mark.parametrize("soft", [Soft(noise=False), Soft(), Soft(noise=False, straight_through=True)])
def test_the_log_of_a_gate_is_finite_however_shut(soft):
    logits = torch.tensor([-1e5, -50.0, 0.1, 50.0, 1e5], requires_grad=True)
    logs = soft.log_gate(logits)
    logs.sum().backward()
    assert logs.isfinite().all() and logits.grad.isfinite().all() and (logs <= 1).all()


def test_a_policy_gains_no_more_from_a_ratio_beyond_the_clip():
    new = torch.tensor([0.0, 0.5, -0.5, 0.5, -0.5], requires_grad=True)
    old, advantage = torch.zeros(5), torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0])
    loss = objectives.policy(new, old, advantage, clip=0.2)
    terms = []
    for n, a in zip(new.tolist(), advantage.tolist(), strict=True):
        ratio = math.exp(n)
        terms.append(min(ratio * a, min(max(ratio, 0.8), 1.2) * a))
    assert loss.item() == pytest.approx(-sum(terms) / 5)
    loss.backward()
    assert [g != 0 for g in new.grad.tolist()] == [True, False, True, True, False]


def test_drift_is_the_divergence_of_policies_on_average():
    """Over all tokens of a distribution, each as often as it is sampled, the estimator is KL(new || reference)."""
    new, reference = numbers(6).log_softmax(0), numbers(6, seed=1).log_softmax(0)
    each = torch.stack([objectives.drift(n[None], r[None]) for n, r in zip(new, reference, strict=True)])
    assert (each >= 0).all()
    expected = sum(math.exp(n) * (n - r) for n, r in zip(new.tolist(), reference.tolist(), strict=True))
    assert (each * new.exp()).sum().item() == pytest.approx(expected, rel=1e-4)


def test_advantages_are_within_a_group():
    rewards = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.5, 0.5, 0.5, 0.5], [0.9, 0.9, 0.9, 0.91]])
    found = objectives.advantages(rewards)
    assert found[0].tolist() == pytest.approx([1, -1, 1, -1]) and found[1].tolist() == [0] * 4
    assert found[2].abs().max() < 0.2  # replies of nearly the same worth aren't blown up
    assert found.sum(-1).tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_a_path_is_exact_where_no_token_of_it_is_wrong():
    right, paths = torch.tensor([True, False, True, True, True]), torch.tensor([1, 1, 2, 3, 2])
    assert exact_paths(right, paths, 3).tolist() == [False, True, True]


def test_weights_are_rounded_as_an_export_rounds_them_and_come_back():
    from training.microreason.config import PRESETS
    from training.microreason.model import MicroReasonForCausalLM

    torch.manual_seed(0)
    model = MicroReasonForCausalLM(PRESETS["tiny"])
    before = {name: w.clone() for name, w in model.state_dict().items()}
    with rounding.rounded(model, 64, wanted=True):
        for name, weight in model.state_dict().items():
            matrix = weight.ndim == 2 and "self_attn.gate_proj" not in name
            assert torch.equal(weight, before[name]) != matrix, name
            if matrix:
                for block in weight.reshape(-1, 64)[:20]:
                    assert len(block.unique()) <= 16
    assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())
    rounding.round_(model, 64)
    once = model.model.embed_tokens.weight.clone()
    errors = [(w - before["model.embed_tokens.weight"]).square().mean() for w in (once,)]
    with rounding.rounded(model, 64, wanted=False):
        assert torch.equal(once, model.model.embed_tokens.weight)
    nearest = rounding.nearest(before["model.embed_tokens.weight"], 64, fitted=False)
    assert errors[0] < (nearest - before["model.embed_tokens.weight"]).square().mean()
