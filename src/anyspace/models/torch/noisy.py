"""Linear layers that explore by noise on their weights."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

Noise = bool | torch.Generator
"""Where noise is drawn from: a generator; True: PyTorch's own source; False: there is none, the layers are linear."""


class NoisyLinear(nn.Module):
    """A linear layer whose weights and biases carry noise of learnt size, [N, in] to [N, out].

    y = (w + s_w * e_w) x + b + s_b * e_b. The noise is factorised, e_w = f(e_out) f(e_in)^T and e_b = f(e_out) with
    f(e) = sign(e) sqrt(|e|) of standard normal vectors; it is drawn anew in every pass, and shared by the pass's rows.

    Weights w start Xavier uniform, each by itself, biases b at 0; the sizes s_w uniform in ±1 / sqrt(in), and s_b at
    ``sigma0`` / sqrt(in), as in RLlib. The paper starts both at ``sigma0`` / sqrt(in).

    Source: Fortunato et al., "Noisy networks for exploration", 2018, section 3.

    Args:
        width_in: in.
        width_out: out.
        sigma0: how large the noise on biases is at first, at least 0.
    """

    def __init__(self, width_in: int, width_out: int, sigma0: float):
        super().__init__()
        bound = 1.0 / math.sqrt(width_in)
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width_out, width_in)))
        self.bias = nn.Parameter(torch.zeros(width_out))
        self.sigma_weight = nn.Parameter(torch.empty(width_out, width_in).uniform_(-bound, bound))
        self.sigma_bias = nn.Parameter(torch.full((width_out,), sigma0 * bound))

    def forward(self, x: torch.Tensor, noise: Noise = True) -> torch.Tensor:
        """Return [N, out], with new noise from ``noise``."""
        y = functional.linear(x, self.weight, self.bias)
        if noise is False:
            return y
        generator = noise if isinstance(noise, torch.Generator) else None
        width_out, width_in = self.weight.shape
        e_in, e_out = self._factor(width_in, generator), self._factor(width_out, generator)
        # The products of both factors, without a matrix of them.
        return y + e_out * functional.linear(x * e_in, self.sigma_weight, self.sigma_bias)

    def _factor(self, width: int, generator: torch.Generator | None) -> torch.Tensor:
        e = torch.randn(width, generator=generator, dtype=self.weight.dtype, device=self.weight.device)
        return e.sign() * e.abs().sqrt()
