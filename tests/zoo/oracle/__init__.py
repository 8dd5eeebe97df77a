"""What is right, found without bitpick: by runtimes of their makers, NumPy, and a count of its own."""
