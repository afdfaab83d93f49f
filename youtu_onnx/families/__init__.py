"""Model families: the numbers, tensor names, cache, traced modules, weight moves and reference of each, behind one protocol."""
