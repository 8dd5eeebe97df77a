"""Files by what they were made from."""
