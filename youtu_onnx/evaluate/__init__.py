"""How well a bundle answers."""
