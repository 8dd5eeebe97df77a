"""What builds are judged by: one task a file."""
