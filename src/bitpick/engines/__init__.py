"""Runtimes with their quantizers: one engine a folder, all behind one contract."""
