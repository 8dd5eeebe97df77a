"""Float graphs that quantize better: one pass a file."""
