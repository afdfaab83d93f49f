"""MicroReason's traced modules, weights and graphs. Needs torch."""
