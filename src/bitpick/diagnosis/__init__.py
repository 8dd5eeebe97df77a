"""Find which layers hurt, and what to try next."""
