"""Native operators for ONNX Runtime's CPU provider: one library, to be registered in a session's options.

::

    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(str(youtu_onnx_native.library()))

``youtu-onnx`` does so where this package is installed.
"""

from pathlib import Path

__version__ = "0.1.0"


def library() -> Path:
    """The library's file.

    Raises:
        FileNotFoundError: the package was installed without it.
    """
    folder = Path(__file__).parent
    for name in ("youtu_onnx_native.dll", "libyoutu_onnx_native.dylib", "libyoutu_onnx_native.so"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has no library: install youtu-onnx-native again, or build it with native/building.py")
