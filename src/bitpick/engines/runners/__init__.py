"""What ships beside a build: one runtime a file.

Each file defines a class `Build`, whose text becomes part of `run.py`: it uses nothing but numpy, `Path`, `Any` and
what its methods import. `companions(file)`, where there is one, gives other texts by the names of their files.
"""
