"""Whether a checkpoint's text files mean to a bundle what they mean to transformers, and which of them a bundle has."""
