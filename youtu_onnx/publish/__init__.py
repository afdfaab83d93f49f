"""From a checkpoint to a verified bundle under its final name."""
