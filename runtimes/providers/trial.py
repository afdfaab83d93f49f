"""The program that :mod:`youtu_onnx.runtimes.providers.probe` runs: a 4×4 matrix product on one provider.

    python -m youtu_onnx.runtimes.providers.trial CUDAExecutionProvider '{"device_id": 1}'

It prints one line of JSON: which provider ran the product, and whether it was right.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime as ort

from youtu_onnx.runtimes.providers.options import ProviderOptions
from youtu_onnx.runtimes.providers.plugins import available, plugin_failure
from youtu_onnx.runtimes.providers.providers import called_by_onnxruntime
from youtu_onnx.runtimes.providers.sessions import open_session
from youtu_onnx.runtimes.providers.tiny_model import tiny_model


def main(name: str, options: str) -> None:
    """``name``: ONNX Runtime's; ``options``: a JSON object, as ``ProviderOptions.of`` takes them."""
    provider = called_by_onnxruntime(name)
    listed = available(provider)
    failure = plugin_failure(provider)
    if failure or provider.ort not in listed:
        sys.exit(failure or f"it is not in the installed onnxruntime, which has {', '.join(listed)}")
    session = open_session(tiny_model(), ort.SessionOptions(), provider, ProviderOptions.of(json.loads(options)), quiet=False)
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    [y] = session.run(None, {"x": x})
    print(json.dumps({"runs_on": session.get_providers()[0], "right": bool(np.allclose(y, x @ x))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
