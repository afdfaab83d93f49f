"""Drive a bundle's graph greedily with numpy and onnxruntime alone: what runs inside the arm64 folder.

    python aarch64_steps.py GRAPH MANIFEST < request > reply

``GRAPH`` is ``model.onnx`` or ``model.ort``. The request is JSON, a list of ``{"ids": […], "tokens": […]}``: a prompt, and what
to feed after it, whatever the model would say. The reply is JSON, for each of them the list of ``len(tokens) + 1`` rows of
logits, one after the prompt and one after each token.
"""

import json
import sys

import numpy as np
import onnxruntime as ort


def logits_of(graph, manifest, prompts):
    """``prompts`` as in the request → ``[prompt][row][V]`` as in the reply."""
    with open(manifest, encoding="utf-8") as stream:
        cache = json.load(stream)["cache"]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    replies = []
    for one in prompts:
        past = [np.zeros((1, t["heads"], 0, t["width"]), cache["dtype"]) for t in cache["tensors"]]
        rows, total = [], 0
        for new in (one["ids"], *([token] for token in one["tokens"])):
            feeds = {t["past"]: array for t, array in zip(cache["tensors"], past, strict=True)}
            feeds["input_ids"] = np.array([new], np.int64)
            feeds["position_ids"] = np.arange(total, total + len(new), dtype=np.int64)[None]
            total += len(new)
            feeds["attention_mask"] = np.ones((1, total), np.int64)
            logits, *past = session.run(["logits", *(t["present"] for t in cache["tensors"])], feeds)
            rows.append([float(value) for value in logits[0, -1]])
        replies.append(rows)
    return replies


if __name__ == "__main__":
    json.dump(logits_of(sys.argv[1], sys.argv[2], json.load(sys.stdin)), sys.stdout)
