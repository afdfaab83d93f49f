"""The problems that youtu-nano was trained on; MicroReason's use their wordings and derivations."""
