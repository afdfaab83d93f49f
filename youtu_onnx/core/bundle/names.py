"""File names inside a bundle; nobody spells them twice."""

MANIFEST = "youtu_onnx.json"
VARIANTS = "youtu_onnx_variants.json"
MODEL = "model.onnx"
BATCH = "batch.onnx"
MODEL_DATA = "model.onnx.data"
GENAI_CONFIG = "genai_config.json"
CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"
CHAT_TEMPLATE = "chat_template.jinja"
MODEL_CARD = "README.md"

CARRIED = (CONFIG, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP, CHAT_TEMPLATE)
"""Files that travel from the checkpoint unchanged, where they exist."""
