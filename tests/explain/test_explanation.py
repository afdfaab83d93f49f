"""A reply that the model writes, one that it only reads, and the picture of both."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.explain.conftest import Bundles
from tests.families.microreason.test_adapters import write_adapter
from tests.families.microreason.tiny import training_model
from youtu_onnx import export, load
from youtu_onnx.chat.opening import OpeningOptions, open_model
from youtu_onnx.chat.reply_options import ReplyOptions
from youtu_onnx.core.bundle import Bundle
from youtu_onnx.core.errors import UsageError
from youtu_onnx.explain import picture
from youtu_onnx.explain.explainer import Explainer
from youtu_onnx.explain.explanation import Explanation, explain, watched
from youtu_onnx.explain.steps import Asked
from youtu_onnx.runtimes.ort.adapters import open_adapters
from youtu_onnx.text import ChatTemplate, Prompt, Tokenizer

PROMPT = "What is 12 + 30?"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def written(bundles: Bundles) -> Explanation:
    with open_model(bundles("routed"), OpeningOptions(threads=1), watched) as model:
        return explain(model, PROMPT, ReplyOptions(greedy=True, max_tokens=24))


def explainer(path: Path) -> tuple[Explainer, Callable[[str], Prompt]]:
    tokenizer = Tokenizer.open(path)
    template = ChatTemplate.open(path, tokenizer)
    assert template is not None
    made = Explainer(Bundle.open(path), tokenizer, OpeningOptions(threads=1))
    return made, lambda text: template.prompt([{"role": "user", "content": text}])


def test_the_reply_and_the_rows_are_those_of_a_chat(bundles: Bundles, written: Explanation) -> None:
    with load(bundles("routed"), threads=1) as model:
        result = model.generate(PROMPT, greedy=True, max_tokens=24)
    assert [token.id for token in written.tokens if token.reply] == result.token_ids
    assert "".join(token.text for token in written.tokens if token.reply) == result.text
    assert "".join(token.text for token in written.tokens if not token.reply) == f"<|begin_of_text|><|User|>{PROMPT}<|Assistant|>"
    assert (written.thinking, written.answer) == (result.thinking, result.answer)
    assert written.finish_reason == result.finish_reason == "length"
    assert written.kept is not None and written.kept.tokens == len(written.tokens) == result.usage.total_tokens
    assert result.cached is not None and result.cached.tokens == len(written.tokens) - 1  # its last token was never run
    assert all(0 <= more - rows <= 1 for more, rows in zip(written.kept.rows, result.cached.rows, strict=True))


def test_json_says_all_of_it(written: Explanation) -> None:
    found = json.loads(json.dumps(written.to_dict()))
    kept = found["kept"]
    assert {len(layer) for layer in kept["open"]} == {len(found["tokens"])} and set("".join(kept["open"])) == {"0", "1"}
    assert kept["rows"] == sum(kept["rows_by_layer"]) < kept["dense_rows"] == 3 * len(found["tokens"])
    assert kept["pairs"] == sum(kept["pairs_by_layer"]) < kept["dense_pairs"]
    assert found["problem"] is None and found["steps"]["family"] is None


def test_a_reply_that_is_known_is_read_in_both_forms_with_its_steps_checked(bundles: Bundles) -> None:
    problem = Asked.fresh("gcd", 2, 1, "en").problem
    seen = []
    for form in ("routed", "masked"):
        one, prompt = explainer(bundles(form))
        found = one.explain(prompt(problem.prompt), f"\n{problem.thought}\n", str(problem.answer), most=500)
        assert found.steps.sound == 1.0 and found.kept is not None and found.kept.form == form
        text = "".join(token.text for token in found.tokens if token.reply)
        assert text == f"<think>\n{problem.thought}\n</think>\n\n{problem.answer}"
        seen.append(found.kept)
        again = one.explain(prompt("x"), "", "<think>9</think>", most=500)  # a text that spells tokens is text
        assert "".join(token.text for token in again.tokens if token.reply) == "<think>9</think>"
        assert sum(token.reply for token in again.tokens) > 3 and again.kept is not None and again.kept.tokens < seen[0].tokens
    assert (seen[0].gates == seen[1].gates).all() and seen[0].pairs == seen[1].pairs
    assert sum(seen[0].rows) < sum(seen[1].rows) == seen[1].all_rows


def test_no_more_is_read_than_is_allowed(bundles: Bundles) -> None:
    one, prompt = explainer(bundles("routed"))
    with pytest.raises(UsageError, match="at most 40 are explained"):
        one.explain(prompt("12 + 30"), "1+1=2\n" * 50, "42", most=40)
    with pytest.raises(UsageError, match="are explained"):
        one.explain(prompt("12 + 30"), "1+1=2\n" * 2_000, "42", most=10**9)
    assert one.explain(prompt("12 + 30"), "1+1=2", "42", most=40).steps.lines[0].valid


def test_the_picture_has_a_line_of_cells_for_each_layer_and_a_text_for_each_token(written: Explanation) -> None:
    drawn = ElementTree.fromstring(picture.svg(written))
    texts = [(one.get("class"), one.text) for one in drawn.iter(f"{SVG}text")]
    assert [text for kind, text in texts if kind == "layer"] == ["0", "1", "2"]
    assert sum(kind in ("token", "token reply") for kind, _ in texts) == len(written.tokens)
    assert ("token", "What") in texts or ("token", "W") in texts
    paths = {one.get("class"): one.get("d") for one in drawn.iter(f"{SVG}path")}
    assert paths.keys() == {"kept", "within", "begin"} and all(paths.values())
    assert "prefers-color-scheme: dark" in picture.svg(written)


@pytest.mark.parametrize(("text", "shown"), [(" ", "␣"), ("\n\n", "⏎⏎"), (" the", "the"), ("a\x00<b", "a\ufffd<b"), ("", "")])
def test_texts_of_tokens_as_a_picture_can_have_them(text: str, shown: str) -> None:
    assert picture.label(text) == shown and len(picture.label(text * 30)) <= picture.LONGEST


def test_a_model_without_gates_has_steps_and_no_picture(nano_bundle: Callable[..., Path]) -> None:
    with open_model(nano_bundle(), OpeningOptions(threads=1), watched) as model:
        found = explain(model, PROMPT, ReplyOptions(greedy=True, max_tokens=60))
        with pytest.raises(UsageError, match="has no gates"):
            picture.check_gates(model.bundle)
    assert found.answer == "42" and found.kept is None and found.to_dict()["kept"] is None
    assert found.steps.lines and {step.mark for step in found.steps.lines} == {"—"}  # its notation is another one
    with pytest.raises(UsageError, match="has no gates"):
        picture.svg(found)


def test_a_model_that_nobody_watches_can_t_be_explained(bundles: Bundles) -> None:
    with load(bundles("routed"), threads=1) as model, pytest.raises(UsageError, match="aren't watched"):
        explain(model, PROMPT, ReplyOptions(greedy=True, max_tokens=2))


def test_a_reply_that_was_written_with_an_adapter_is_read_with_it(checkpoint: Path, tmp_path: Path) -> None:
    model = training_model(checkpoint)
    base = {name: one.clone() for name, one in model.state_dict().items()}
    adapted = write_adapter(tmp_path / "roman", base, 0)
    hot = [f"roman={tmp_path / 'roman'}"]
    made = export(str(checkpoint), tmp_path / "hot", precision="fp32", adapter=hot, adapter_mode="hot", verify=False)
    one, prompt = explainer(made.bundle.path)
    adapters = open_adapters(made.bundle)  # of another session, as a server's are
    assert adapters is not None
    seen = []
    for adapter, weights in ((None, base), (adapters.active("roman"), adapted), (None, base)):
        found = one.explain(prompt("12 + 30"), "12+30=42", "42", most=500, adapter=adapter)
        model.load_state_dict(weights)
        with torch.no_grad():
            gates = model.model(torch.tensor([[token.id for token in found.tokens]])).gates
        assert found.kept is not None and (found.kept.gates == np.stack([(gate[0] > 0).numpy() for gate in gates])).all()
        seen.append(found.kept.gates)
    assert (seen[0] == seen[2]).all() and (seen[0] != seen[1]).any()
