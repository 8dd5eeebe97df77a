"""How `run.py`, which ships with a build, opens it: one runtime a file.

Each file defines a class `Build` that uses nothing but numpy, `Path`, `Any` and what its methods import: its text
becomes part of `run.py`.
"""
