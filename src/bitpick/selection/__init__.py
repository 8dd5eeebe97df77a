"""A row beside its baseline, all rows at once, and the one to ship."""
