"""The Youtu family: a torch module that traces well, and where each of its parameters comes from."""
