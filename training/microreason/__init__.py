"""Training of MicroReason, a 27M-parameter reasoning model with dynamic attention routing."""
