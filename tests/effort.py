"""How many cases by chance tests try: a few in every run, ``YOUTU_ONNX_TEST_EFFORT`` times as many where somebody asks for it.

``YOUTU_ONNX_TEST_SEED`` tries others; without it they are the same each time: a failure is a change's, not chance's.
"""

from __future__ import annotations

import os

EFFORT = int(os.environ.get("YOUTU_ONNX_TEST_EFFORT", "1"))
SEED = int(os.environ.get("YOUTU_ONNX_TEST_SEED", "1"))
