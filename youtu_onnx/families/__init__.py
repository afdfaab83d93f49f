"""Model families: their numbers, tensors, caches and graphs."""
