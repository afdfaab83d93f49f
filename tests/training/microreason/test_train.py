"""The base training: it learns, it goes on exactly where it was killed, it pauses, it grows."""

import json
import threading
import time
from dataclasses import replace
from random import Random

import pytest

torch = pytest.importorskip("torch")

from training.common.batches import IGNORED  # noqa: E402
from training.microreason import evaluate, growth, package, tasks, tokenizer  # noqa: E402
from training.microreason.config import PRESETS  # noqa: E402
from training.microreason.generate import continuations, prompt  # noqa: E402
from training.microreason.practice import LEAST, Practice  # noqa: E402
from training.microreason.session import Plan, Session  # noqa: E402
from training.microreason.store import PAUSE, Store  # noqa: E402
from training.microreason.stream import Shape, Stream  # noqa: E402
from training.microreason.tasks import SHARES  # noqa: E402
from training.microreason.train import Base  # noqa: E402
from training.microreason.trainer import Rates, Trainer  # noqa: E402
from youtu_onnx.problems import families  # noqa: E402

SHAPE = Shape(row_length=128, rows=2, context=512)
PLAN = Plan(budget=8, save_every=3, measure_every=1e9, log_every=2, threads=1)


@pytest.fixture(scope="module")
def words():
    return tokenizer.build(count=2000)


class Tick:
    """A clock for which every step takes one second."""

    def now(self):
        return 0.0

    def since(self, start):
        return 1.0


def session(words, folder, plan=PLAN, grow_at=0.5) -> Session:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    trainer = Trainer(PRESETS["tiny"], 1, torch.device("cpu"), Rates(warmup_steps=2), compiled=False)
    return Session(Base(trainer, Stream(words, SHAPE, seed=3), words, grow_at, 1), Store(folder), plan, Tick())


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def steady(record):
    """A log line without what depends on the machine."""
    return {k: v for k, v in record.items() if "second" not in k}


def test_a_killed_run_goes_on_as_if_it_had_never_stopped(words, tmp_path, monkeypatch):
    monkeypatch.setattr(Session, "measure", lambda self: None)
    whole = session(words, tmp_path / "whole")
    whole.run()
    killed = session(words, tmp_path / "killed")
    step = killed.learner.trainer.train_step

    def die(batch, progress):
        if killed.learner.trainer.step == 5:  # two steps after a state was written
            raise KeyboardInterrupt
        return step(batch, progress)

    killed.learner.trainer.train_step = die
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    again = session(words, tmp_path / "killed")
    assert again.learner.trainer.step == 3 and again.learner.trainer.depth == 1
    again.run()
    assert again.learner.trainer.step == whole.learner.trainer.step == 8 and again.learner.trainer.depth == 2
    for name, weight in whole.learner.trainer.model.state_dict().items():
        assert torch.equal(weight, again.learner.trainer.model.state_dict()[name]), name
    assert all(torch.equal(whole.learner.trainer.average[n], w) for n, w in again.learner.trainer.average.items())
    assert [steady(r)["step"] for r in log(tmp_path / "killed")] == [2, 4, 6, 8]
    assert log(tmp_path / "whole")[0]["loss"] == log(tmp_path / "killed")[0]["loss"]
    assert log(tmp_path / "whole")[-1]["loss"] == log(tmp_path / "killed")[-1]["loss"]


def test_pause_keeps_the_state_and_waits(words, tmp_path, monkeypatch):
    monkeypatch.setattr(Session, "measure", lambda self: None)
    run = session(words, tmp_path)
    (tmp_path / PAUSE).touch()
    thread = threading.Thread(target=run.run)
    thread.start()
    deadline = time.monotonic() + 60
    while not run.store.state.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.learner.trainer.step == 0 and run.store.load() is not None
    (tmp_path / PAUSE).unlink()
    thread.join(timeout=120)
    assert not thread.is_alive() and run.learner.trainer.step == 8


def test_asked_to_stop_it_writes_its_state_first(words, tmp_path):
    run = session(words, tmp_path)
    run.learner.trainer.train_step = lambda batch, progress: run.stop() or 1.0
    run.run()
    assert Store(tmp_path).load()["stream"]["offset"] == 2


def test_the_end_is_measured_and_leaves_a_model_that_loads(words, tmp_path):
    run = session(words, tmp_path, replace(PLAN, budget=2))
    run.run()
    record = log(tmp_path)[-1]
    assert record["kind"] == "accuracy" and set(record["correct"]) == {*families.MEASURED, "all"}
    model, saved_words = package.load(tmp_path / "base")
    assert model.config.num_hidden_layers == 2 and saved_words.to_str() == words.to_str()
    assert json.loads((tmp_path / "base" / "config.json").read_text())["model_type"] == "microreason"
    assert (tmp_path / "base" / "chat_template.jinja").exists()


def test_loss_falls(words, tmp_path, monkeypatch):
    monkeypatch.setattr(Session, "measure", lambda self: None)
    session(words, tmp_path, replace(PLAN, budget=40, log_every=10, save_every=100), grow_at=0.2).run()
    losses = [record["loss"] for record in log(tmp_path)]
    assert losses[0] > losses[-1] + 0.5


def test_stream_is_found_again_and_packs_whole_documents(words):
    stream = Stream(words, SHAPE, seed=3)
    for n in range(5):
        stream.next(n / 10)
    state = stream.state
    expected = [stream.next(0.7) for _ in range(3)]
    again = Stream(words, SHAPE, seed=3)
    again.restore(state)
    for batch in expected:
        other = again.next(0.9)  # a pool that is begun keeps its own progress
        assert torch.equal(batch.input_ids, other.input_ids) and torch.equal(batch.labels, other.labels)
        assert ((batch.labels == IGNORED) | (batch.labels == batch.input_ids)).all()
        assert (batch.document_ids[:, 1:] - batch.document_ids[:, :-1] <= 1).all()
        assert batch.position_ids.max() < SHAPE.context
        starts = (batch.input_ids == words.token_to_id("<|begin_of_text|>")) & (batch.document_ids > 0)
        assert torch.equal(starts.cumsum(1)[batch.document_ids > 0], batch.document_ids[batch.document_ids > 0])


def test_a_grown_model_repeats_its_layers_and_keeps_its_momenta(words):
    trainer = Trainer(replace(PRESETS["tiny"], num_hidden_layers=4), 2, torch.device("cpu"), Rates(), compiled=False)
    stream = Stream(words, SHAPE, seed=3)
    trainer.train_step(stream.next(0), 0)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    moments = {n: trainer.optimizers[0].state[p] for n, p in trainer.model.named_parameters() if "q_proj" in n}
    trainer.grow(4)
    for name, weight in trainer.model.state_dict().items():
        assert torch.equal(weight, before[growth.source(name, 2)])
    named = dict(trainer.model.named_parameters())
    deep, shallow = "model.layers.3.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight"
    assert torch.equal(trainer.optimizers[0].state[named[deep]]["momentum_buffer"], moments[shallow]["momentum_buffer"])
    trainer.train_step(stream.next(0), 0)


def test_rates_warm_up_stay_and_end_with_the_budget():
    rates = Rates(warmup_steps=10, decay_from=0.6)
    assert rates.factor(0.0, 0) == 0.1 and rates.factor(0.3, 500) == rates.factor(0.6, 500) == 1.0
    assert rates.factor(0.8, 500) == pytest.approx(0.5) and rates.factor(1.0, 500) == 0.0


def test_batched_replies_are_those_of_each_prompt_alone(words):
    torch.manual_seed(4)
    trainer = Trainer(PRESETS["tiny"], 2, torch.device("cpu"), Rates(), compiled=False)
    model = trainer.averaged()
    problems = [p for family in ("arithmetic", "maze") for p in families.held_out(family, 2, seed=1)]
    asked = [words.encode(prompt(p), add_special_tokens=False).ids for p in problems]
    with torch.inference_mode():
        for p in model.parameters():
            p.mul_(3)  # decided answers, which rounding doesn't turn
    assert continuations(model, asked, 1, 12) == [continuations(model, [ids], 1, 12)[0] for ids in asked]


def test_marks_tell_the_answer_from_the_steps():
    problem = tasks.sample(Random(1), 0.5, "gcd", "en")
    right = f"<think>\n{problem.thought}\n</think>\n\n{problem.answer}"
    assert evaluate.mark(problem, right) == evaluate.Mark(problem, right, True, 1.0)
    guessed = evaluate.mark(problem, problem.answer)
    assert guessed.correct and guessed.sound < 1
    assert not evaluate.mark(problem, "").correct


def test_what_a_run_began_with_is_kept(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("first")
    store = Store(tmp_path / "stage2")
    assert (store.beginning(tmp_path / "base") / "config.json").read_text() == "first"
    (tmp_path / "base" / "config.json").write_text("another stage wrote this")
    assert (Store(tmp_path / "stage2").beginning(tmp_path / "base") / "config.json").read_text() == "first"


def test_what_a_measurement_finds_wanting_is_asked_more(words):
    """A family whose answers are all right keeps LEAST of its share; pools show it, and show it again after a restart."""
    practice = Practice()
    for _ in range(20):
        practice.measured({"sudoku": 1.0, "maze": 0.0, "a family that is not trained": 1.0})
    assert practice.shares["sudoku"] == pytest.approx(LEAST * SHARES["sudoku"], rel=1e-3)
    assert practice.shares["maze"] == pytest.approx((1 + LEAST) * SHARES["maze"], rel=1e-3)
    assert practice.shares.keys() == SHARES.keys()

    only = dict.fromkeys(SHARES, 0.0) | {"letters": 1.0}
    stream = Stream(words, SHAPE, seed=3)
    batches = [stream.next(0.7, only) for _ in range(3)]
    again = Stream(words, SHAPE, seed=3)
    again.restore({**stream.state, "offset": 0})
    for batch in batches:
        assert torch.equal(again.next(0.2, SHARES).input_ids, batch.input_ids), "the pool that was begun keeps its shares"
        assert "=" not in words.decode(batch.input_ids.flatten().tolist())
    usual = Stream(words, SHAPE, seed=3)
    assert any("=" in words.decode(usual.next(0.7).input_ids.flatten().tolist()) for _ in batches)


def test_problems_may_ripen_sooner_than_usual(words):
    """At 5 % of a training they are as they are at a third of it otherwise."""
    stream = Stream(words, SHAPE, seed=3)
    usual, asked = stream.next, list[float]()
    stream.next = lambda progress, shares: asked.append(progress) or usual(progress, shares)
    trainer = Trainer(PRESETS["tiny"], 2, torch.device("cpu"), Rates(), compiled=False)
    base = Base(trainer, stream, words, grow_at=1.0, measured=1, ripe_at=0.05)
    for progress in (0.0, 0.025, 0.05, 1.0):
        base.learn(progress)
    assert asked == pytest.approx([0, 1 / 6, 1 / 3, 1])
