"""Judge rows beside their baselines, test them all at once, and choose the one to ship."""
