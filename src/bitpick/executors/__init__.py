"""Run a function on a payload, here or in a worker process. They know nothing of quantization."""
