"""The machines that builds run on: this one, and other targets."""
