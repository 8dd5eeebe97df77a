"""Search for the recipes worth comparing, on samples that the comparison does not use."""
