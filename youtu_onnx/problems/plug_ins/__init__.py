"""Families that the base is never trained on: each is taught to a LoRA adapter, which is loaded when it is wanted.

They are modules as the others are. `families` reads their notation and has held-out problems of them, but they are not among
those that training shows or that a measurement of the base asks.
"""
