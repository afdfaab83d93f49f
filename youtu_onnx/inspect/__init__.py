"""What a bundle is, and what a machine has."""
