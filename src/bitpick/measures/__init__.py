"""What is measured of a build: one measure a file."""
