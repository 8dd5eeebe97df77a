"""What models are for, one task a file."""
