"""The tables: their intervals, which problems a line asks, what own chains save, and the tasks of reasoning-gym."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from xml.dom import minidom

import pytest

torch = pytest.importorskip("torch")

from training.microreason import (  # noqa: E402
    calibration,
    chart,
    gym,
    measure,
    own_chains,
    package,
    survey,
    thresholds,
    tokenizer,
)
from training.microreason.config import PRESETS  # noqa: E402
from training.microreason.generate import prompt  # noqa: E402
from youtu_onnx.problems import families  # noqa: E402

from .test_model import model_of  # noqa: E402


@pytest.fixture(scope="module")
def words():
    return tokenizer.build(count=500)


@pytest.fixture(scope="module")
def model(words):
    torch.set_num_threads(1)
    return model_of(replace(PRESETS["tiny"], vocab_size=words.get_vocab_size(), attention_routing=True))


@pytest.mark.parametrize(("right", "of"), [(0, 10), (5, 10), (97, 100), (500, 500), (431, 500)])
def test_the_interval_is_where_a_share_is_just_not_refuted(right, of):
    """Wilson's bounds p solve |right/of - p| = z sqrt(p(1 - p)/of)."""
    for bound in measure.wilson(right, of):
        if 0 < bound < 1:
            assert abs(right / of - bound) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / of), rel=1e-6)
    low, high = measure.wilson(right, of)
    assert 0 <= low <= right / of <= high <= 1 and low < high


def test_a_share_of_nothing_says_nothing():
    assert measure.wilson(0, 0) == (0, 1)
    share = measure.Share.among([True, False, True, True])
    assert (share.right, share.of, share.percent) == (3, 4, 75.0) and str(share).startswith("75.0 % (30.1 to 95.4)")


@pytest.mark.parametrize("line", measure.LINES, ids=lambda line: line.name)
def test_lines_ask_their_own_problems_at_full_length_and_beyond(line):
    for level in (measure.FULL, families.HARDER):
        asked = measure.problems(line, 12, seed=3, level=level)
        assert len(asked) == 12 and asked == measure.problems(line, 12, seed=3, level=level)
        assert all(line.takes(p) and p.family == line.family for p in asked)
    assert measure.problems(line, 12, seed=4, level=3) != measure.problems(line, 12, seed=3, level=3)


def test_a_line_asks_each_problem_once_and_no_more_than_are_held_out(monkeypatch):
    monkeypatch.setattr(families, "FRUITLESS", 300)
    lcm = next(line for line in measure.LINES if line.name == "lcm")
    asked = measure.problems(lcm, 500, seed=2, level=measure.FULL)
    assert 20 < len(asked) < 60 and len({p.key for p in asked}) == len(asked)
    assert measure.problems(lcm, 1, seed=2, level=measure.FULL) == asked[:1]
    gcd = next(line for line in measure.LINES if line.name == "gcd")
    asked = measure.problems(gcd, 200, seed=2, level=measure.FULL)
    assert len({p.key for p in asked}) == len(asked) == 200


def test_all_families_and_all_demands_are_in_the_table():
    assert {line.family for line in measure.LINES} == set(families.MEASURED)
    assert [line.least for line in measure.LINES].count(97) == 4
    sudoku = next(line for line in measure.LINES if line.family == "knights")
    assert all(p.kind == "knights_3" for p in measure.problems(sudoku, 10, seed=1, level=measure.FULL))


def test_own_chains_are_the_models_own_greedy_words(model, words, monkeypatch):
    monkeypatch.setattr(own_chains, "MOST", 24)
    begun = own_chains.begun(3, seed=1)
    asked = [list(one.waiting) for one in begun]
    grown = own_chains.grown(model, words, begun)
    assert all(own_chains.SHORTEST <= len(one.ids) <= own_chains.LONGEST for one in grown)
    one, problems = begun[0], asked[0]
    first = words.encode(prompt(problems[0]), add_special_tokens=False).ids
    assert one.ids[: len(first)] == first and len(one.right) == len(problems) - len(one.waiting)
    with torch.inference_mode():
        logits = model(torch.tensor([one.ids]))[0]
    said = one.ids[len(first) : len(first) + 24]
    assert logits[len(first) - 1 : len(first) + 23].argmax(-1).tolist() == said


def test_what_a_chain_saves_is_what_its_cache_holds(model, words):
    """Rows at the end of a chain, counted in the model's own cache from which shut ones are dropped."""
    from training.microreason.cache import Cache

    torch.manual_seed(2)
    ids = torch.randint(0, 200, (1, 300))
    chain = own_chains.Chain([], 0, ids[0].tolist())
    cache = Cache()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        model.model(ids, cache=cache)
    found = survey.survey(model, survey.lessons([chain.document], 512), own_chains.SHORTEST)
    window = model.config.attention_window
    for share, held in zip(found.rows_saved, cache.rows, strict=True):
        # The cache has already dropped what the next token will not see, one row more than the last token saw.
        assert round((1 - share) * 300) - held in (0, 1) and held >= window - 1


def test_the_tables_are_written_for_people_and_programs(model, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(own_chains, "MOST", 16)
    monkeypatch.setattr(measure, "replies", lambda model, words, problems: [p.answer for p in problems])
    package.save(model.state_dict(), model.config, words, tmp_path)
    arguments = ["measure", str(tmp_path), "--count", "4", "--chains", "2", "--family", "gcd"]
    monkeypatch.setattr("sys.argv", arguments)
    assert measure.main() == 0
    text = capsys.readouterr().out
    assert "| gcd | 97 | 100.0 % (" in text and "own chains of 256 to 512 tokens" in text
    monkeypatch.setattr("sys.argv", [*arguments, "--json"])
    assert measure.main() == 0
    record = json.loads(capsys.readouterr().out)
    assert record["int4"] and [line["name"] for line in record["lines"]] == ["gcd", "lcm"]
    assert record["lines"][0]["trained_routed"]["percent"] == 100.0 == record["lines"][0]["harder_dense"]["percent"]


def test_a_model_may_stand_alone_and_longer_problems_may_be_fewer(model, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "replies", lambda model, words, problems: [p.answer for p in problems])
    package.save(model.state_dict(), model.config, words, tmp_path)
    arguments = [str(tmp_path), "--alone", "--count", "4", "--harder", "3", "--chains", "0", "--family", "base"]
    monkeypatch.setattr("sys.argv", ["measure", *arguments, "--json"])
    assert measure.main() == 0
    (line,) = json.loads(capsys.readouterr().out)["lines"]
    assert (line["trained_routed"]["of"], line["harder_routed"]["of"]) == (4, 3) and "trained_dense" not in line


def test_integers_of_a_checkpoint_are_read_as_they_are_and_not_rounded_again():
    assert package.is_rounded("microreason")
    shipped, _ = package.load("microreason")
    weight = shipped.model.layers[0].mlp.up_proj.weight
    assert all(len(block.unique()) <= 16 for block in weight.reshape(-1, 64)[:200]) and len(weight.unique()) > 1000
    before = {name: tensor.clone() for name, tensor in shipped.state_dict().items()}
    models, _ = measure.models_of(SimpleNamespace(model="microreason", dense=None, alone=False, float=False))
    assert list(models) == ["routed", "dense"] and not models["dense"].config.attention_routing
    assert all(torch.equal(w, before[name]) for name, w in models["routed"].state_dict().items())


def test_tasks_of_reasoning_gym_are_judged_by_its_verifiers(model, words, monkeypatch):
    package_there = pytest.importorskip(
        "reasoning_gym", reason="reasoning-gym is optional: pip install --target DIR reasoning-gym"
    )
    for task in gym.TASKS:
        data = package_there.create_dataset(task.name, size=4, seed=3, **task.settings)
        by_question = {entry["question"].strip(): entry["answer"] for entry in data}
        monkeypatch.setattr(gym, "replies", lambda m, w, problems, known=by_question: [known[p.prompt] for p in problems])
        assert gym.asked(model, words, task, 4, 3)["strict"]["percent"] == 100.0, task
        monkeypatch.setattr(gym, "replies", lambda m, w, problems: ["?"] * len(problems))
        assert gym.asked(model, words, task, 4, 3)["strict"]["percent"] == 0.0, task


def test_answers_are_put_into_the_form_that_is_asked_for():
    assert gym.value_alone("x = -5") == "-5" and gym.list_of_strings("3, 15, 8") == "['3', '15', '8']"
    assert gym.spaced_grid("1234\n3412") == "1 2 3 4\n3 4 1 2"


def test_the_chart_moves_thresholds_and_puts_them_back(model, words):
    before = {name: w.clone() for name, w in model.state_dict().items()}
    asked = survey.lessons(survey.dialogues(words, 2, seed=3, most=512), 512)
    found = chart.points(model, asked, (-50.0, -0.5, 0.0, 50.0))
    assert found[0].pairs < found[1].pairs < found[2].pairs < found[3].pairs == 1.0 == found[3].rows
    assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())
    svg = chart.picture(found)
    assert svg.count("<circle") == 4 and svg.count('class="bar"') == len(found[0].by_layer)
    minidom.parseString(svg)


def test_thresholds_are_moved_for_good(model, words, tmp_path, monkeypatch):
    package.save(model.state_dict(), model.config, words, tmp_path / "before")
    monkeypatch.setattr("sys.argv", ["thresholds", str(tmp_path / "before"), "--shift", "2", "--output", str(tmp_path / "after")])
    assert thresholds.main() == 0
    before, after = (package.load(tmp_path / name)[0].state_dict() for name in ("before", "after"))
    moved = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
    assert len(moved) == model.config.num_hidden_layers and all(name.endswith("self_attn.gate_proj.bias") for name in moved)
    assert all(torch.allclose(after[name], before[name] + 2, rtol=2**-8) for name in moved)


def test_exports_are_calibrated_on_worked_problems_of_every_family_and_on_none_that_is_held_out(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["calibration", str(tmp_path / "problems.jsonl"), "--count", "30"])
    assert calibration.main() == 0
    chats = [json.loads(line)["messages"] for line in (tmp_path / "problems.jsonl").read_text(encoding="utf-8").splitlines()]
    held_out = {p.prompt for family in families.MEASURED for p in families.held_out(family, 40, seed=0)}
    assert len(chats) == 30 and not held_out & {asked["content"] for asked, _ in chats}
    for family, (_, said) in zip(families.MEASURED * 2, chats, strict=True):
        thought, answer = said["content"].removeprefix("<think>\n").split("\n</think>\n\n")
        assert families.verified(thought, answer, family)[-1].valid, said
