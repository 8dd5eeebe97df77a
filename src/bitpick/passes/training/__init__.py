"""Training for quantization. Its modules import torch, so import them inside functions."""
