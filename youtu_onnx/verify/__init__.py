"""Whether a bundle is sound, and computes what its checkpoint computes."""
