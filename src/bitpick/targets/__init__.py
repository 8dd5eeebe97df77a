"""Where builds run: this machine, and others."""
