"""The embedded model: its problems, its tokenizer, its chat format, and that its weights answer."""

import json
from pathlib import Path
from random import Random

import pytest
from tokenizers import Tokenizer

from training.nano import conversation, held_out_file, tasks
from youtu_onnx.problems.nano import lists, strings
from youtu_onnx.problems.nano.arithmetic import add_thought, divide_thought, multiply_thought, subtract_thought
from youtu_onnx.problems.problem import LANGUAGES, final_answer, is_correct, is_held_out

MODEL = Path(__file__).parents[2] / "youtu_onnx" / "models" / "youtu_nano"

TEXTS = [
    "Hello, world!  Two  spaces,\ttabs\r\nand lines.\n\n",
    "你好，世界！小明有3个苹果。“引号”……",
    "emoji 😀👩‍👩‍👧 and flags 🇨🇳",
    "control \x00\x01\x07\x1b\x7f end",
    "한국어 ㄱㄴ カタカナ ひらがな ㄅㄆㄇ",
    "é ñ ü Ω Ж — “quotes” ½ ²",
    "don't x=1+2*3; [1, 2] <b>",
    "",
]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


@pytest.fixture(scope="module")
def hugging_face():
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(MODEL)


@pytest.mark.parametrize("family", tasks.FAMILIES)
def test_same_seed_same_problems(family):
    first, second = ([tasks.sample(rng, family) for _ in range(50)] for rng in (Random(3), Random(3)))
    assert first == second


@pytest.mark.parametrize("family", tasks.MEASURED)
def test_training_never_shows_a_held_out_problem(family):
    rng = Random(5)
    trained = {tasks.sample(rng, family).key for _ in range(4000)}
    kept = {p.key for p in tasks.held_out(family, 200, seed=1)}
    assert not trained & kept
    assert all(is_held_out(key) for key in kept)


def test_conversations_train_on_no_held_out_arithmetic():
    rng = Random(6)
    prompts = {p.prompt for p in tasks.held_out("arithmetic", 500, seed=2)}
    for _ in range(3000):
        turns = conversation.conversation(rng).turns
        asked = {turn.split("<|User|>")[1].split("<|Assistant|>")[0] for turn in turns if "<|User|>" in turn}
        assert not asked & prompts


@pytest.mark.parametrize("family", tasks.MEASURED)
@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_is_deterministic_and_in_its_language(family, language):
    problems = tasks.held_out(family, 20, seed=4, language=language)
    assert problems == tasks.held_out(family, 20, seed=4, language=language)
    assert {p.language for p in problems} == {language}
    assert len({p.prompt for p in problems}) == 20


def test_small_talk_has_no_held_out_problems():
    with pytest.raises(KeyError, match="arithmetic"):
        tasks.held_out("small_talk", 1, seed=0)


def test_derivations_follow_the_school_methods():
    assert add_thought(47, 185) == "47+185:7+5=12,4+8+1=13,0+1+1=2"
    assert subtract_thought(302, 45) == "302-45:12-5=7,9-4=5,2-0=2"
    assert multiply_thought(47, 6) == "47*6:7*6=42,4*6+4=28"
    assert divide_thought(259, 4) == "259/4:2/4=0r2,25/4=6r1,19/4=4r3"


def test_insertion_sort_grows_one_number_at_a_time():
    assert lists.insertions([30, 4, 12]) == "30;4 30;4 12 30"


def test_arithmetic_answers_are_right():
    signs = {"add": "+", "subtract": "-", "multiply": "*", "divide": "//"}
    for problem in tasks.held_out("arithmetic", 300, seed=9):
        kind, a, b = problem.key.split(":")
        whole = problem.answer.replace("余", " ").split()[0]
        assert int(whole) == eval(f"{a}{signs[kind]}{b}")


def test_checker_compares_what_follows_the_thinking():
    assert final_answer("<think>\n1+1=2\n</think>\n\n2<|end_of_text|>") == "2"
    assert is_correct(" 2 \n", "2")
    assert not is_correct("<think>\n2\n</think>\n\n3", "2")


def test_shipped_held_out_file_is_what_the_generators_give():
    text = (MODEL / "heldout.jsonl").read_text(encoding="utf-8")
    assert text.splitlines() == held_out_file.lines()
    rows = [json.loads(line) for line in text.splitlines()]
    assert len({row["id"] for row in rows}) == len(rows) == 300
    assert set(rows[0]) == {"id", "family", "language", "prompt", "answer"}


@pytest.mark.parametrize("text", TEXTS)
def test_tokenizer_round_trips(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_tokenizer_takes_digits_one_by_one_and_splits_chinese_off(tokenizer):
    tokens = tokenizer.encode("小明有1234个apples", add_special_tokens=False).tokens
    assert [t for t in tokens if any(c.isdigit() for c in t)] == ["1", "2", "3", "4"]
    assert not any(t.isascii() and set("个") & set(t) for t in tokens)


def test_tokenizer_knows_every_byte_and_letter(tokenizer):
    assert tokenizer.decode(tokenizer.encode("".join(map(chr, range(256))), add_special_tokens=False).ids) == "".join(
        map(chr, range(256))
    )
    assert all(tokenizer.token_to_id("Ġ" + letter) is not None for letter in "abcdefghijklmnopqrstuvwxyz")


def test_bos_is_added_the_same_way_by_both_libraries(tokenizer, hugging_face):
    assert tokenizer.encode("hi").ids == hugging_face("hi").input_ids
    assert tokenizer.encode("hi").tokens[0] == "<|begin_of_text|>"
    assert (hugging_face.bos_token_id, hugging_face.eos_token_id, hugging_face.pad_token_id) == (0, 1, 1)


CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "<think>\n1+1=2\n</think>\n\n2"},
    {"role": "user", "content": "And 2+2?"},
]


def test_template_drops_earlier_thinking(hugging_face):
    text = hugging_face.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    assert text == ("<|begin_of_text|>Be brief.<|User|>1+1?<|Assistant|>2<|end_of_text|><|User|>And 2+2?<|Assistant|>")


def test_template_switches_thinking_off_with_an_empty_block(hugging_face):
    text = hugging_face.apply_chat_template(CHAT[3:], tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert text == "<|begin_of_text|><|User|>And 2+2?<|Assistant|><think>\n\n</think>\n\n"


def test_template_keeps_the_thinking_of_the_last_turn(hugging_face):
    text = hugging_face.apply_chat_template(CHAT[:3], tokenize=False)
    assert text.endswith("<|Assistant|><think>\n1+1=2\n</think>\n\n2<|end_of_text|>")


def test_template_lists_tools_and_calls(hugging_face):
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    chat = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "3"},
    ]
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    text = hugging_face.apply_chat_template(chat, tools=tools, tokenize=False, add_generation_prompt=True)
    assert '<tools>\n{"type": "function", "function": {"name": "add", "parameters": {}}}\n</tools>' in text
    assert '<|Assistant|><tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|end_of_text|>' in text
    assert text.endswith("<|User|><tool_response>\n3\n</tool_response><|Assistant|>")


def test_training_text_is_what_the_template_renders(hugging_face):
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    trained = "<|begin_of_text|>" + "<|User|>a<|Assistant|>b<|end_of_text|>" + "<|User|>c<|Assistant|>"
    assert hugging_face.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == trained
    assert hugging_face.chat_template == (MODEL / "chat_template.jinja").read_text(encoding="utf-8")


def test_packed_conversations_see_only_themselves(tokenizer):
    torch = pytest.importorskip("torch")
    from training.common.batches import IGNORED
    from training.nano.batches import ROW, batches

    batch = next(batches(tokenizer, Random(1), rows=4, context=1024, pad=1))
    ids, mask = batch["input_ids"], batch["attention_mask"][:, 0]
    assert ids.shape == (4, ROW) and batch["position_ids"].max() < 1024
    starts = (ids == 0).int().cumsum(1)  # every conversation begins with bos
    for b in range(4):
        real = (ids[b] != 1) | (batch["labels"][b] != IGNORED)
        seen = mask[b] & real[None] & real[:, None]
        same = starts[b][:, None] == starts[b][None]
        assert not (seen & ~same).any()
        assert not torch.triu(mask[b], 1).any()
    assert (batch["labels"] != IGNORED).float().mean() > 0.3


def test_shipped_weights_load_exactly_and_answer():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from training.nano.evaluate import replies

    model, report = transformers.YoutuForCausalLM.from_pretrained(MODEL, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    # A pad id in the config makes transformers zero that row on loading; here it would be that of eos.
    assert model.config.pad_token_id is None and model.get_input_embeddings().weight[model.config.eos_token_id].any()
    assert model.config.v_head_dim != model.config.qk_nope_head_dim + model.config.qk_rope_head_dim
    rows = [json.loads(line) for line in (MODEL / "heldout.jsonl").read_text(encoding="utf-8").splitlines()][::15]
    hugging_face = transformers.AutoTokenizer.from_pretrained(MODEL)
    texts = replies(model.eval(), hugging_face, [[{"role": "user", "content": row["prompt"]}] for row in rows])
    right = sum(is_correct(text, row["answer"]) for text, row in zip(texts, rows, strict=True))
    assert len(rows) == 20 and right >= 16


def test_invented_words_are_short_and_lower_case():
    rng = Random(2)
    assert all(3 <= len(w) <= 6 and w.isascii() and w.islower() for w in (strings.word(rng) for _ in range(500)))
