"""What requests say: JSON bodies. A field that isn't here is refused by its name, unless its value means "off"."""
