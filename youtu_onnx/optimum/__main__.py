"""``python -m youtu_onnx.optimum``: ``optimum-cli`` that knows Youtu."""

from youtu_onnx.optimum.optimum import main

if __name__ == "__main__":
    main()
