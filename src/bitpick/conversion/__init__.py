"""A model from one format to another, every hop verified: one hop a file."""
