"""The records of run.json and of what else bitpick writes; they know nothing but each other."""
