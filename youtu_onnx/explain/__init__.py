"""A reply in steps that are checked, and the tokens that each layer kept while it was written."""
