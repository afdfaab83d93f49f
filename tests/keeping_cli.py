"""``youtu-onnx`` that takes traces of this test run and leaves its own there: ``python -m tests.keeping_cli export …``."""

from __future__ import annotations

import sys

from tests.kept_traces import keep_traces_of_the_run
from youtu_onnx.cli import main

if __name__ == "__main__":
    keep_traces_of_the_run()
    sys.exit(main(sys.argv[1:]))
