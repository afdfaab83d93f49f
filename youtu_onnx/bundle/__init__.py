"""The folder that export writes and everything else reads."""

from youtu_onnx.bundle.bundle import Bundle
from youtu_onnx.bundle.manifest import FORMAT_VERSION, FileEntry, Manifest, Source
from youtu_onnx.bundle.staging import Staging

__all__ = ["FORMAT_VERSION", "Bundle", "FileEntry", "Manifest", "Source", "Staging"]
