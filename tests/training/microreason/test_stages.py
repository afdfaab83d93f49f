"""The whole training of the tiny preset: three stages, one after the other, as the real ones are."""

import json
import shutil
from random import Random

import pytest

torch = pytest.importorskip("torch")

from training.common.tokenizer import EOS  # noqa: E402
from training.microreason import distil, evolve, package, rollout, sampler, survey, tasks, tokenizer  # noqa: E402
from training.microreason.generate import continuations, prompt  # noqa: E402
from training.microreason.routing import Soft  # noqa: E402

from . import stages  # noqa: E402

pytestmark = pytest.mark.slow
STEPS = (300, 100, 12)


@pytest.fixture(scope="module")
def words():
    return tokenizer.build(count=2000)


def log(folder, kind="train"):
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


@pytest.fixture(scope="module")
def trained(words, tmp_path_factory):
    """The folders of the stages, trained once."""
    root = tmp_path_factory.mktemp("stages")
    with pytest.MonkeyPatch.context() as patch:
        stages.begin(patch)
        stages.stage_1(words, root / "1", STEPS[0]).run()
        stages.stage_2(words, root / "1" / "base", root / "2", STEPS[1]).run()
        stages.stage_3(words, root / "2" / "model", root / "3", STEPS[2]).run()
    return root


def mean(records, name):
    found = [record[name] for record in records if name in record]
    return sum(found) / len(found)


def test_losses_fall_in_the_first_two_stages(trained):
    first = log(trained / "1")
    assert mean(first[-20:], "loss") < mean(first[:20], "loss") / 2
    second = log(trained / "2")
    assert mean(second[-20:], "next_token") < mean(second[:20], "next_token")
    for name in ("match", "contrast", "budget", "exact", "pairs_saved", "rows_saved"):
        assert all(name in record for record in second)


def test_gates_close_to_the_budget_and_stay_there(trained):
    second, target = log(trained / "2"), stages.SCHEDULE.target
    assert second[0]["pairs_saved"] < 0.1
    assert mean(second[-20:], "pairs_saved") > target.pairs - 0.03 and mean(second[-20:], "rows_saved") > target.rows - 0.03
    for stage in ("2", "3"):
        model, words = package.load(trained / stage / "model")
        asked = survey.lessons(survey.dialogues(words, 2, seed=5, most=192), 192)
        found = survey.survey(model, asked, stages.SCHEDULE.shortest)
        assert model.config.attention_routing and len(found.pairs_saved) == 2
        assert sum(found.pairs_saved) / 2 > target.pairs - 0.1 and sum(found.rows_saved) / 2 > target.rows - 0.1


def test_the_log_of_stage_2_measures_dense_soft_and_hard(trained):
    (record,) = log(trained / "2", "accuracy")
    assert set(record["exact"]) == {"teacher", "dense", "soft", "hard"}
    assert len(record["pairs_saved"]) == len(record["rows_saved"]) == 2
    assert [r["int4"] for r in log(trained / "2")] == sorted(r["int4"] for r in log(trained / "2"))
    assert log(trained / "2")[-1]["int4"] and log(trained / "2")[-1]["hard"] and not log(trained / "2")[0]["hard"]


def test_hard_gates_hide_what_leaving_the_cache_hides(trained):
    """Greedy tokens with shut rows dropped from the cache, masked in a cache, and without a cache."""
    model, words = package.load(trained / "3" / "model")
    problems = [tasks.sample(Random(n), 1.0, family) for n in range(3) for family in ("arithmetic", "gcd", "word_problem")]
    asked = rollout.asked(words, problems)
    end = words.encode(EOS, add_special_tokens=False).ids[0]
    dropped = continuations(model, asked, end, 40)
    masked = [[t for t in one.tokens if t != end] for one in sampler.replies(model, asked, end, 40)]
    assert dropped == masked
    with torch.inference_mode():
        whole = torch.tensor([asked[0] + dropped[0]])
        hidden = model.model(whole)
        straight = model.model(whole, soft=Soft(noise=False, straight_through=True)).hidden
        assert any((gates <= 0).any() for gates in hidden.gates)
        greedy = model.logits(hidden.hidden)[0, len(asked[0]) - 1 : -1].argmax(-1).tolist()
    assert greedy == dropped[0] and torch.allclose(hidden.hidden, straight, atol=1e-5)


def judged(words, model, folder, problems):
    learner = stages.stage_3(words, model, folder, 1).learner
    return rollout.averages(learner.attempts(package.load(model)[0], problems, 0.0))


def test_rewards_do_not_fall_in_the_third_stage(trained, words, tmp_path, monkeypatch):
    stages.begin(monkeypatch)
    problems = [tasks.sample(Random(n), 1.0, "arithmetic") for n in range(120)]
    before = judged(words, trained / "2" / "model", tmp_path / "2", problems)
    after = judged(words, trained / "3" / "model", tmp_path / "3", problems)
    assert before["reward"] > 0.05  # the first two stages taught it something
    assert after["reward"] >= before["reward"] - 0.02
    for record in log(trained / "3"):
        parts = 0.6 * record["correct"] + 0.3 * record["efficient"] + 0.1 * record["sound"]
        assert record["reward"] == pytest.approx(parts, abs=1e-3)


def stopped_at(session, step):
    learn = session.learner.learn

    def die(progress):
        if session.learner.step == step:
            raise KeyboardInterrupt
        return learn(progress)

    session.learner.learn = die
    with pytest.raises(KeyboardInterrupt):
        session.run()


@pytest.mark.parametrize(
    ("stage", "base", "steps", "weights"),
    [
        (stages.stage_2, "1/base", 8, lambda learner: learner.pupil),
        (stages.stage_3, "2/model", 4, lambda learner: learner.policy),
    ],
)
def test_a_killed_stage_goes_on_bit_for_bit(trained, words, tmp_path, monkeypatch, stage, base, steps, weights):
    stages.begin(monkeypatch)
    whole = stage(words, trained / base, tmp_path / "whole", steps)
    whole.run()
    stages.begin(monkeypatch)
    stopped_at(stage(words, trained / base, tmp_path / "killed", steps, save_every=steps // 2), steps - 1)
    torch.manual_seed(77)  # a new process begins anywhere
    again = stage(words, trained / base, tmp_path / "killed", steps)
    assert again.learner.step == steps // 2 and again.learner.tokens > 0
    again.run()
    first, second = weights(whole.learner), weights(again.learner)
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, second.model.state_dict()[name]), name
    assert all(torch.equal(w, second.average[name]) for name, w in first.average.items())
    assert whole.learner.practice.exact == again.learner.practice.exact

    def steady(record):
        return {k: v for k, v in record.items() if "second" not in k and k != "sampling"}

    assert list(map(steady, log(tmp_path / "whole"))) == list(map(steady, log(tmp_path / "killed")))


def test_prompts_are_the_ones_that_evaluation_asks(words):
    problem = tasks.sample(Random(1), 1.0, "gcd")
    assert words.decode(rollout.asked(words, [problem])[0], skip_special_tokens=False) == prompt(problem)


def test_the_commands_go_from_stage_to_stage(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    shutil.copytree(trained / "1" / "base", tmp_path / "base")
    usual = ["--state", str(tmp_path), "--device", "cpu", "--hours", "0.0002", "--no-compile", "--rows", "2", "--measured", "1"]
    monkeypatch.setattr("sys.argv", ["distil", *usual, "--row-length", "192", "--window", "6"])
    assert distil.main() == 0
    model, _ = package.load(tmp_path / "stage2" / "model")
    assert model.config.attention_routing and model.config.attention_window == 6
    monkeypatch.setattr("sys.argv", ["evolve", *usual, "--problems", "2", "--replies", "2"])
    assert evolve.main() == 0
    assert package.load(tmp_path / "stage3" / "model")[0].config == model.config
    shutil.rmtree(tmp_path / "base")  # a stage that is gone on with needs the one before no more
    monkeypatch.setattr("sys.argv", ["distil", *usual, "--row-length", "192", "--window", "6"])
    assert distil.main() == 0
