"""The commands: arguments → api → print. No logic."""
