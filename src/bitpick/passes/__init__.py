"""Passes that rewrite a float graph so that it quantizes better: one pass a file."""
