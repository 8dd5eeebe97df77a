"""From a request to measured rows, and the directory of a run."""
