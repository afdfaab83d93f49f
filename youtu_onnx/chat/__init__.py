"""A bundle that talks: prompts, sampling, replies."""
