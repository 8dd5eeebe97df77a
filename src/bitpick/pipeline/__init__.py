"""Turn a request into measured rows, and keep the directory of the run."""
