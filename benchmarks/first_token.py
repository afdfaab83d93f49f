"""The least work to a first token: open a bundle, prefill, print the likeliest next id.

    python -m benchmarks.first_token BUNDLE [--tokens 16] [--threads N] [--hold]

Neither tokenizer nor chat template is read. ``--hold`` then waits for the end of stdin, so that its memory can be looked at.
"""

from __future__ import annotations

import argparse
import sys

from youtu_onnx.core.bundle import Bundle
from youtu_onnx.runtimes.ort.decoder import OrtDecoder

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--hold", action="store_true")
    options = parser.parse_args()
    decoder = OrtDecoder.open(Bundle.open(options.bundle), threads=options.threads)
    print(decoder.prefill([index % decoder.vocab_size for index in range(1, options.tokens + 1)]).argmax(), flush=True)
    if options.hold:
        sys.stdin.read()
