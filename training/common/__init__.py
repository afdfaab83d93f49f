"""What the trainings of both models use: problems, chat format, tokenizer, packed rows, optimizers."""
