"""Which layers hurt, and what to try next."""
