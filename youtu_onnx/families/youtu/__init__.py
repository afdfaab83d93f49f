"""Youtu-LLM: dense decoders with multi-head latent attention."""
