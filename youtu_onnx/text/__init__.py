"""Text on the way in and out: the tokenizer and the chat template of a checkpoint or bundle."""

from youtu_onnx.text.stream import TextStream
from youtu_onnx.text.template import ChatTemplate, Prompt
from youtu_onnx.text.thinking import ThinkingSplitter
from youtu_onnx.text.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "Prompt", "TextStream", "ThinkingSplitter", "Tokenizer"]
