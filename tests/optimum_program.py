"""What Optimum's tools do with Youtu, as JSON facts: run by ``test_optimum.py`` in an environment that has optimum-onnx.

    python -m tests.optimum_program EXPORT RESERVED BUNDLE…

EXPORT is a folder to be made, RESERVED a bundle with a cache of reserved length, each BUNDLE one
to open. Facts are one line, the last of stdout.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from optimum.exporters.onnx import main_export
from optimum.exporters.tasks import TasksManager
from optimum.modeling_base import OptimizedModel
from optimum.onnxruntime import ORTModelForCausalLM
from transformers import AutoTokenizer

from tests.vectors.make import FILE, NANO
from youtu_onnx import ORTYoutuForCausalLM
from youtu_onnx.core.errors import YoutuOnnxError
from youtu_onnx.optimum.optimum import ort_config, register

GREEDY = json.loads(FILE.read_text(encoding="utf-8"))["greedy"]
TOKENIZER = AutoTokenizer.from_pretrained(NANO, padding_side="left")
BATCH = TOKENIZER([one["text"] for one in GREEDY[:3]], return_tensors="pt", padding=True)
BATCH = {name: BATCH[name] for name in ("input_ids", "attention_mask")}


def supported() -> list[str] | str:
    try:
        return sorted(TasksManager.get_supported_tasks_for_model_type("youtu", "onnx", library_name="transformers"))
    except Exception as error:
        return type(error).__name__


def answers(model: Any) -> dict[str, Any]:
    """Greedy tokens of the vectors' prompts, and beams of a left-padded batch."""
    greedy = []
    for one in GREEDY:
        ids = torch.tensor([one["ids"]])
        made = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=64)
        greedy.append(made[0, ids.shape[1] :].tolist())
    return {"greedy": greedy, "beams": model.generate(**BATCH, num_beams=3, max_new_tokens=12).tolist()}


def main(export: Path, reserved: Path, bundles: list[Path]) -> dict[str, Any]:
    facts: dict[str, Any] = {"supported before": supported()}
    register()
    register()
    facts["supported"] = supported()
    main_export(str(NANO), export, task="text-generation-with-past")
    facts["exported"] = answers(ORTModelForCausalLM.from_pretrained(export, config=ort_config(export)))
    try:
        answers(ORTModelForCausalLM.from_pretrained(export))
        facts["unposed"] = "works"
    except Exception as error:
        facts["unposed"] = f"{type(error).__name__}: {error}"
    for bundle in bundles:
        facts[f"Optimum's class, {bundle.name}"] = answers(ORTModelForCausalLM.from_pretrained(bundle, config=ort_config(bundle)))
        ours = ORTYoutuForCausalLM.from_pretrained(bundle, threads=1)
        facts[f"our class, {bundle.name}"] = answers(ours)
    try:
        ort_config(reserved)
        facts["reserved"] = "works"
    except YoutuOnnxError as error:
        facts["reserved"] = str(error)
    facts["our class is an OptimizedModel"] = isinstance(ours, OptimizedModel)
    ids = BATCH["input_ids"][:1, -6:]
    facts["prompt lookup"] = [
        ours.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, **options).tolist()
        for options in ({}, {"prompt_lookup_num_tokens": 3})
    ]
    return facts


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(one) for one in sys.argv[3:]])))
