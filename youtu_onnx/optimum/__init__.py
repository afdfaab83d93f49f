"""Youtu for Hugging Face Optimum. Importing it needs optimum-onnx, in an environment with transformers 4."""

from youtu_onnx.optimum.optimum import YoutuConfig, YoutuForCausalLM, YoutuOnnxConfig, ort_config, register

__all__ = ["YoutuConfig", "YoutuForCausalLM", "YoutuOnnxConfig", "ort_config", "register"]
