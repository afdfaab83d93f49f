"""MicroReason: decoders whose layers choose, token by token, what stays visible."""
