"""``python -m youtu_onnx``: the same as the ``youtu-onnx`` script."""

import sys

from youtu_onnx.cli import main

if __name__ == "__main__":
    sys.exit(main())
