"""The commands: parse arguments, call the api, print. No logic."""
