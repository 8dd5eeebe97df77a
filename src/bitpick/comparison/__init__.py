"""Turn a request into measured rows and a recommendation."""
