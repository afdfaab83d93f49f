"""The folder that export writes and everything else reads."""

from youtu_onnx.core.bundle.bundle import Bundle
from youtu_onnx.core.bundle.graph_facts import GraphFacts
from youtu_onnx.core.bundle.manifest import FORMAT_VERSION, FileEntry, Manifest, Source
from youtu_onnx.core.bundle.model_facts import ModelFacts
from youtu_onnx.core.bundle.staging import Staging

__all__ = ["FORMAT_VERSION", "Bundle", "FileEntry", "GraphFacts", "Manifest", "ModelFacts", "Source", "Staging"]
