"""The user's model: its source, its inputs and outputs, and the user's own code."""
