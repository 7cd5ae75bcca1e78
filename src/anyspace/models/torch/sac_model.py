"""The model of soft actor-critic for PyTorch."""

from __future__ import annotations

import torch
from torch import nn

from anyspace.models.modelv2 import ModelV2
from anyspace.models.sac_networks import SACNetworks
from anyspace.models.torch.base import TorchModelV2


class SACTorchModel(SACNetworks, TorchModelV2):
    """Policy, Q networks and temperatures; see :class:`SACNetworks`.

    Attributes:
        log_alphas: logarithms of the temperatures, learnt, scalars by kind.
    """

    log_alphas: nn.ParameterDict

    def _add_temperatures(self, start: float) -> None:
        self.log_alphas = nn.ParameterDict({kind: nn.Parameter(torch.tensor(start)) for kind in self.joint.kinds})

    def _acts(self) -> bool:
        return torch.is_inference_mode_enabled()

    def policy_variables(self) -> list[nn.Parameter]:
        """Return the parameters of the policy."""
        return _parameters(self.action_model)

    def q_variables(self) -> list[nn.Parameter]:
        """Return the parameters of the Q networks, first network first."""
        parts = (self.q_memory, self.q_net, self.twin_q_memory, self.twin_q_net)
        return [parameter for part in parts for parameter in _parameters(part)]


def _parameters(model: ModelV2 | None) -> list[nn.Parameter]:
    return list(model.parameters()) if isinstance(model, nn.Module) else []
