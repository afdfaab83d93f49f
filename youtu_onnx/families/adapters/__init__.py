"""LoRA adapters in PEFT's format: read, held against a model's shapes, and merged into its weights."""
