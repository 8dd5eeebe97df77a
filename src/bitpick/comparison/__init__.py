"""From a request to rows, each measured, and a recommendation."""
