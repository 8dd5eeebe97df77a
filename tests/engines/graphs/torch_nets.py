"""Networks of PyTorch that several tests of this folder count the work of."""

from __future__ import annotations

from typing import Any


def odd(einsum: bool = True) -> Any:
    """A module whose weights are in front, in an einsum, in a table, and in both directions of an LSTM.

    Args:
        einsum: whether the weights in front are used again, in an einsum.
    """
    import torch

    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(20, 6)
            self.recurrent = torch.nn.LSTM(6, 8, bidirectional=True, batch_first=True)
            self.front = torch.nn.Parameter(torch.randn(5, 7))
            self.up = torch.nn.ConvTranspose1d(16, 4, 3, groups=2)

        def forward(self, ids):
            states, _ = self.recurrent(self.table(ids))
            mixed = torch.matmul(self.front, states)
            if einsum:
                mixed = torch.einsum("hi,nij->nhj", self.front.t(), mixed)
            return self.up(mixed.transpose(1, 2)), torch.bmm(mixed, mixed.transpose(1, 2))

    return Odd().eval()
