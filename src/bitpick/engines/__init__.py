"""Runtimes with their quantizers: one engine a file, behind one contract."""
