"""Plug-in knowledge: an adapter learns beside a frozen base, is read as PEFT's, and leaves the base as it was when it goes."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

import youtu_onnx  # noqa: E402
from tests.families.microreason.tiny import write_tiny  # noqa: E402
from tests.serve.http.serving import listening  # noqa: E402
from training.microreason import package, plug_in, plug_in_lora, plug_in_measure, plug_in_ways  # noqa: E402
from training.microreason.session import Session  # noqa: E402
from training.microreason.store import Store  # noqa: E402
from training.microreason.stream import Shape  # noqa: E402
from training.microreason.tasks import SHARES  # noqa: E402
from youtu_onnx.core.bundle import Bundle  # noqa: E402
from youtu_onnx.problems import families  # noqa: E402
from youtu_onnx.problems.problem import is_held_out  # noqa: E402
from youtu_onnx.runtimes.ort.decoder import OrtDecoder  # noqa: E402
from youtu_onnx.serve.engine.limits import Limits  # noqa: E402
from youtu_onnx.serve.engine.opening import open_engine  # noqa: E402
from youtu_onnx.serve.http.application import application  # noqa: E402
from youtu_onnx.serve.http.settings import Settings  # noqa: E402
from youtu_onnx.serve.text.model_text import ModelText  # noqa: E402

from .stages import Tick, plan  # noqa: E402

RECIPE = plug_in.Recipe(rank=4, alpha=8.0, rate=2e-2, warmup_steps=2, others=0.0)
SHAPE = Shape(128, 4, 512)
STEPS = 16
IDS = np.random.default_rng(3).integers(4, 400, 40).tolist()


def session(base, folder, steps=STEPS, save_every=1e9):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    model, words = package.load(base)
    learner = plug_in.PlugIn(model, words, "korvo", RECIPE, SHAPE, seed=3, measured=2)
    return Session(learner, Store(folder), plan(steps, save_every), Tick())


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Random weights, with gates that are in use."""
    return write_tiny(tmp_path_factory.mktemp("plug-in") / "base", max_position_embeddings=512)


@pytest.fixture(scope="module")
def trained(base):
    """The model with an adapter that has learned for a moment; its files are beside the base's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plug_in, "POOL", 60)
        patch.setattr(plug_in.PlugIn, "marks", lambda self: {"scale": next(iter(self.added.values())).scale})
        made = session(base, base.parent / "run")
        made.run()
    return made.learner


@pytest.fixture(scope="module")
def adapter(trained, base):
    return base.parent / "run" / "adapter"


@pytest.fixture(scope="module")
def bundle(base):
    return youtu_onnx.export(str(base), base.parent / "hot", precision="fp32", adapter_mode="hot", verify=False).bundle.path


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([IDS]))[0, -1].numpy()


def test_loss_falls_and_nothing_of_the_base_moves(trained, base):
    records = [json.loads(line) for line in (base.parent / "run" / "log.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if record["kind"] == "train"]
    assert len(losses) == STEPS and np.mean(losses[-4:]) < 0.8 * np.mean(losses[:3])
    assert records[-1]["with"]["scale"] == RECIPE.alpha / RECIPE.rank and records[-1]["without"]["scale"] == 0
    weights = {name.replace(".base.", "."): one for name, one in trained.model.state_dict().items() if "lora_" not in name}
    before = package.load(base)[0].state_dict()
    assert weights.keys() == before.keys() and all(torch.equal(weights[name], one) for name, one in before.items())


def test_a_fresh_adapter_changes_nothing_and_one_switched_off_neither(trained, base):
    model, _ = package.load(base)
    plain = logits(model)
    added = plug_in_lora.attach(model, 4, 8.0)
    assert np.array_equal(logits(model), plain) and len(added) == 3 * len(plug_in_lora.MODULES)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {f"{n}.lora_{k}" for n in added for k in "AB"}
    with trained.without():
        assert np.array_equal(logits(trained.model), plain)
    assert np.abs(logits(trained.model) - plain).max() > 0.1


def test_the_family_s_held_out_problems_are_not_trained_on(base):
    _, words = package.load(base)
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        real = plug_in.sample
        patch.setattr(plug_in, "sample", lambda *given: shown.append(real(*given)) or shown[-1])
        plug_in.pool(words.to_str(), Shape(128, 4, 2048), 3, "roman", 0.3, 0, 1.0, SHARES)
    assert not any(is_held_out(one.key) for one in shown if one.family != "small_talk")
    share = sum(one.family == "roman" for one in shown) / len(shown)
    assert 0.6 < share < 0.8 and {one.language for one in shown} == {"en", "zh"}


def test_peft_reads_the_files(trained, adapter, tmp_path):
    """Beside a Qwen3, which the model is where its gates are not in use."""
    peft = pytest.importorskip("peft", reason="the adapter is read by PEFT: pip install peft")
    transformers = pytest.importorskip("transformers")
    dense, _ = package.load(write_tiny(tmp_path / "dense", routing=False))
    config = transformers.Qwen3Config(**dense.config.to_dict(), attn_implementation="eager")
    theirs = transformers.Qwen3ForCausalLM(config)
    theirs.load_state_dict({n: w for n, w in dense.state_dict().items() if "self_attn.gate_proj" not in n}, strict=False)
    theirs = peft.PeftModel.from_pretrained(theirs, str(adapter)).eval()
    added = plug_in_lora.attach(dense, RECIPE.rank, RECIPE.alpha)
    stored = load_file(adapter / "adapter_model.safetensors")
    with torch.no_grad():
        for name, one in plug_in_lora.factors(added).items():
            one.copy_(stored.pop(name))
        found = theirs(torch.tensor([IDS])).logits[0, -1].numpy()
    assert not stored and np.abs(found - logits(dense)).max() < 1e-4


def test_beside_the_weights_merged_and_in_torch_it_is_the_same(trained, adapter, base, bundle, tmp_path):
    decoder = OrtDecoder.open(Bundle.open(bundle))
    decoder.adapters.load("korvo", adapter)
    decoder.use(decoder.adapters.active("korvo"))
    hot = decoder.prefill(IDS)
    decoder.use(None)
    decoder.reset()
    plain = decoder.prefill(IDS)
    stored = load_file(adapter / "adapter_model.safetensors")
    with torch.no_grad():
        for name, one in plug_in_lora.factors(trained.added).items():
            assert torch.equal(stored[name], one.bfloat16())
            one.copy_(stored[name])
    merged = youtu_onnx.export(str(base), tmp_path / "merged", precision="fp32", adapter=adapter, verify=False).bundle.path
    wanted = logits(trained.model)
    assert np.abs(hot - wanted).max() < 1e-4
    assert np.abs(OrtDecoder.open(Bundle.open(merged)).prefill(IDS) - wanted).max() < 1e-4
    with trained.without():
        assert np.abs(plain - logits(trained.model)).max() < 1e-4 < 0.1 < np.abs(plain - wanted).max()


def asked_in(way, adapter):
    (line,) = plug_in_measure.measure(way, {"korvo": adapter}, count=4, each=1, seed=2)
    assert line.returned and line.own.of == 4 and line.base.of == len(families.MEASURED)
    problem = families.held_out("korvo", 1, 2)[0].prompt
    plain = way.ask(problem, None)
    way.load("korvo", adapter)
    assert way.ask(problem, "korvo") != plain == way.ask(problem, None)
    way.unload("korvo")
    with pytest.raises(Exception, match=r"korvo|404"):
        way.ask(problem, "korvo")
    return plain, plug_in_measure.markdown([line])


def test_the_base_s_replies_return_in_python_and_in_the_server(adapter, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(plug_in_ways, "MOST", 8)
    alone = plug_in_ways.Python(bundle, 1)
    plain, table = asked_in(alone, adapter)
    alone.close()
    assert "| korvo | Python | its own | " in table and f"| {len(families.MEASURED)} of {len(families.MEASURED)} |" in table
    engine = open_engine(Bundle.open(bundle), limits=Limits(threads=1, cache_memory=2**27))
    app = application(engine, text=ModelText.open(bundle), settings=Settings(adapters=tmp_path))
    try:
        with listening(app) as url:
            served, table = asked_in(plug_in_ways.Server(url, tmp_path), adapter)
    finally:
        engine.close()
    assert served.written[-1] == len(plain.written) and "| korvo | server | the base's | " in table


def test_a_killed_run_goes_on_bit_for_bit(base, tmp_path, monkeypatch):
    monkeypatch.setattr(plug_in, "POOL", 40)
    monkeypatch.setattr(plug_in.PlugIn, "measure", lambda self, folder: {})
    whole = session(base, tmp_path / "whole", steps=6)
    whole.run()
    killed = session(base, tmp_path / "killed", steps=6, save_every=3)
    learn = killed.learner.learn

    def die(progress):
        if killed.learner.step == 5:
            raise KeyboardInterrupt
        return learn(progress)

    killed.learner.learn = die
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    again = session(base, tmp_path / "killed", steps=6)
    assert again.learner.step == 3 and again.learner.tokens > 0
    again.run()
    for name, one in whole.learner.factors.items():
        assert torch.equal(one, again.learner.factors[name]), name


def test_the_command_keeps_the_base_and_goes_on(base, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(plug_in, "POOL", 20)
    monkeypatch.setattr("training.microreason.generate.NEW_TOKENS", 4)
    usual = [
        "--base",
        str(base),
        "--state",
        str(tmp_path),
        "--rows",
        "2",
        "--row-length",
        "128",
        "--measured",
        "1",
        "--rank",
        "2",
    ]
    for minutes in ("0.0001", "0.0002"):
        monkeypatch.setattr("sys.argv", ["plug_in", "roman", "--minutes", minutes, *usual])
        assert plug_in.main() == 0
    assert "the adapter is in" in capsys.readouterr().out
    stored = load_file(tmp_path / "roman" / "adapter" / "adapter_model.safetensors")
    assert all(one.shape[0 if "lora_A" in name else 1] == 2 for name, one in stored.items()) and len(stored) == 42
    assert (tmp_path / "roman" / "beginning" / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()
