"""What users give as a model: where it comes from, what it takes and gives, and code of their own."""
