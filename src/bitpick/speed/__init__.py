"""How long builds take, beside one another."""
