"""Bundle → tokens: the protocols Decoder and Batch, their adapters, and ``opening.py``, which chooses one."""
