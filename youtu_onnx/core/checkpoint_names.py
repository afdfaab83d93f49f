"""File names inside a checkpoint; nobody spells them twice."""

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
"""Of PEFT: what is beside it is no checkpoint, or one that transformers would put an adapter on."""
