"""The model interface of Q-learning for PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from anyspace.models.q_networks import HeadLayers, QNetworks
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.layers import activation_factory, xavier
from anyspace.models.torch.noisy import Noise, NoisyLinear


class DQNTorchModel(QNetworks, TorchModelV2):
    """Values of discrete actions, from the features that the model beneath puts out; see :class:`QNetworks`.

    ``ModelCatalog.get_model_v2(..., model_interface=DQNTorchModel, dueling=True)`` puts it on the default model or a
    custom one, memory included. ``features, state = model(inputs, state, seq_lens)``, and then ``q_values(features)``.
    """

    support: torch.Tensor | None
    advantage_head: QHead | None
    state_head: QHead | None

    def _add_q_heads(
        self, support: npt.NDArray[np.float32] | None, advantages: HeadLayers | None, state: HeadLayers | None
    ) -> None:
        self.register_buffer("support", None if support is None else torch.from_numpy(support), False)
        count = self.branches.total * self.num_atoms
        self.advantage_head = None if advantages is None else QHead(advantages, count)
        self.state_head = None if state is None else QHead(state, self.num_atoms)

    def __getattr__(self, name: str) -> Any:
        """Return a part; RLlib's names of the heads stand for them, unless the model beneath has such parts itself."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name not in _OLD_NAMES:
                raise
            return getattr(self, _OLD_NAMES[name])

    def _run_q_head(self, head: Any, features: torch.Tensor, noise: Noise) -> torch.Tensor:
        output: torch.Tensor = head(features, noise)
        return output


_OLD_NAMES = {"advantage_module": "advantage_head", "value_module": "state_head"}


class QHead(nn.Module):
    """Dense layers, each with its activation and, if asked for, a layer norm; then a linear one. [N, F] to [N, out].

    Args:
        before: the layers before the last one.
        width_out: out.
    """

    def __init__(self, before: HeadLayers, width_out: int):
        super().__init__()
        activation_module, width_in = activation_factory(before.activation), before.width_in
        layers: list[nn.Module] = []
        for size in before.sizes:
            layers.append(_layer(width_in, size, before.sigma0))
            if activation_module is not None:
                layers.append(activation_module())
            if before.layer_norm:
                layers.append(nn.LayerNorm(size))
            width_in = size
        self.layers = nn.ModuleList([*layers, _layer(width_in, width_out, before.sigma0)])

    def forward(self, x: torch.Tensor, noise: Noise = True) -> torch.Tensor:
        """Return [N, out]; every noisy layer draws its own noise."""
        x = x.to(next(self.parameters()).dtype)
        for layer in self.layers:
            x = layer(x, noise) if isinstance(layer, NoisyLinear) else layer(x)
        return x


def _layer(width_in: int, width_out: int, sigma0: float | None) -> nn.Module:
    return xavier(width_in, width_out, bias=True) if sigma0 is None else NoisyLinear(width_in, width_out, sigma0)
