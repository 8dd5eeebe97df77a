"""Data sets on disk, and the samples drawn from them."""
