"""Drive bundles' graphs greedily with numpy and onnxruntime alone: what runs inside the arm64 folder.

    python aarch64_steps.py [--library FILE] GRAPH MANIFEST [GRAPH MANIFEST …] < request > reply

``GRAPH`` is ``model.onnx`` or ``model.ort``; ``FILE`` a library of custom operators, which graphs may name. The request is
JSON, a list of ``{"ids": […], "tokens": […]}``: a prompt, and what to feed after it, whatever the model would say. The reply is
JSON: ``machine``, ``providers``, and ``logits``, which has for each graph and each prompt the list of ``len(tokens) + 1`` rows,
one after the prompt and one after each token.
"""

import json
import platform
import sys

import numpy as np
import onnxruntime as ort


class Steps:
    """A graph and one sequence in its cache. ``manifest``: a file with the cache's tensors, a bundle's or a mobile folder's."""

    def __init__(self, graph, manifest, library=None):
        with open(manifest, encoding="utf-8") as stream:
            self.cache = json.load(stream)["cache"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        if library:
            options.register_custom_ops_library(str(library))
        self.session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.reset()

    def reset(self):
        self.past = [np.zeros((1, t["heads"], 0, t["width"]), self.cache["dtype"]) for t in self.cache["tensors"]]
        self.total = 0

    def run(self, new):
        """Append token ids; the row of logits after the last."""
        feeds = {t["past"]: array for t, array in zip(self.cache["tensors"], self.past, strict=True)}
        feeds["input_ids"] = np.array([new], np.int64)
        feeds["position_ids"] = np.arange(self.total, self.total + len(new), dtype=np.int64)[None]
        self.total += len(new)
        feeds["attention_mask"] = np.ones((1, self.total), np.int64)
        logits, *self.past = self.session.run(["logits", *(t["present"] for t in self.cache["tensors"])], feeds)
        return [float(value) for value in logits[0, -1]]


def logits_of(graph, manifest, prompts, library=None):
    """``prompts`` as in the request → ``[prompt][row][V]`` as in the reply."""
    steps, replies = Steps(graph, manifest, library), []
    for one in prompts:
        steps.reset()
        replies.append([steps.run(new) for new in (one["ids"], *([token] for token in one["tokens"]))])
    return replies


if __name__ == "__main__":
    prompts = json.load(sys.stdin)
    files = sys.argv[1:]
    library = files[1] if files[0] == "--library" else None
    files = files[2:] if library else files
    logits = [logits_of(graph, manifest, prompts, library) for graph, manifest in zip(files[::2], files[1::2], strict=True)]
    json.dump({"machine": platform.machine(), "providers": ort.get_available_providers(), "logits": logits}, sys.stdout)
