"""Functions of gradients and weights that files of RLlib's old stack import, with their old signatures.

`anyspace.rllib` offers them as `utils.torch_utils`; nothing else in anyspace needs them.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from anyspace.errors import ConfigError

_LOG = logging.getLogger("anyspace")


def global_norm(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the L2 norm of all elements of all tensors, a scalar."""
    return torch.stack([tensor.square().sum() for tensor in tensors]).sum().sqrt()


class HasConfig(Protocol):
    """A policy, of which only the key ``grad_clip`` is read."""

    config: Mapping[str, Any]


def apply_grad_clipping(policy: HasConfig, optimizer: torch.optim.Optimizer, loss: Any) -> dict[str, float]:
    """Scale the gradients of each parameter group down to the norm ``policy.config["grad_clip"]``, in place.

    Args:
        policy: a None in its ``grad_clip`` leaves the gradients as they are.
        optimizer: of the parameters.
        loss: accepted for old call sites.

    Returns:
        The sum of the groups' norms, none more than ``grad_clip``, as "grad_gnorm"; nothing where there is no gradient.
    """
    limit = policy.config["grad_clip"]
    limit = math.inf if limit is None else float(limit)
    groups = [[p for p in group["params"] if p.grad is not None] for group in optimizer.param_groups]
    norms = [float(nn.utils.clip_grad_norm_(group, limit)) for group in groups if group]
    return {"grad_gnorm": sum(min(norm, limit) for norm in norms)} if norms else {}


def clip_gradients(
    gradients_dict: dict[Any, torch.Tensor | None], *, grad_clip: float | None = None, grad_clip_by: str = "value"
) -> torch.Tensor | None:
    """Limit gradients by name, in place.

    Args:
        gradients_dict: None where there is no gradient.
        grad_clip: the limit; None: no limit.
        grad_clip_by: what it limits: "value" (each element), "norm" (each gradient), "global_norm" (all together).

    Returns:
        With "global_norm", the norm of all before they were limited.

    Raises:
        ConfigError: ``grad_clip_by`` is something else.
    """
    if grad_clip is None:
        return None
    there = {name: gradient for name, gradient in gradients_dict.items() if gradient is not None}
    if grad_clip_by == "value":
        gradients_dict.update({name: gradient.clamp(-grad_clip, grad_clip) for name, gradient in there.items()})
    elif grad_clip_by == "norm":
        for gradient in there.values():
            gradient.detach().mul_((grad_clip / gradient.norm()).clamp(max=1.0).nan_to_num(1.0))
    elif grad_clip_by == "global_norm":
        norm = compute_global_norm(list(there.values()))
        for gradient in there.values():
            gradient.detach().mul_((grad_clip / (norm + 1e-6)).clamp(max=1.0))
        return norm
    else:
        raise ConfigError(f"grad_clip_by is {grad_clip_by!r}, but expected 'value', 'norm' or 'global_norm'.")
    return None


def compute_global_norm(gradients_list: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Return the L2 norm of all elements of all gradients, a scalar; 0 where there are none."""
    there = [gradient.detach() for gradient in gradients_list if gradient is not None]
    return global_norm(there) if there else torch.tensor(0.0)


def minimize_and_clip(optimizer: torch.optim.Optimizer, clip_val: float = 10.0) -> None:
    """Scale the gradient of each parameter down to the norm ``clip_val``, in place."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                nn.utils.clip_grad_norm_(parameter, clip_val)


def update_target_network(main_net: nn.Module, target_net: nn.Module, tau: float) -> None:
    """Move the parameters and buffers of ``target_net`` by the share ``tau`` towards those of ``main_net``."""
    new = main_net.state_dict()
    target_net.load_state_dict(
        {name: tau * new[name] + (1 - tau) * old for name, old in target_net.state_dict().items()}
    )


def warn_if_infinite_kl_divergence(policy: Any, kl_divergence: torch.Tensor) -> None:
    """Log a warning if a mean divergence is infinite; ``policy`` is accepted for old call sites."""
    if bool(kl_divergence.isinf()):
        _LOG.warning(
            "the KL divergence is infinite: an action has lost all its probability. A KL loss cannot be trained with"
            " it; set kl_coeff=0, or raise entropy_coeff."
        )


def set_torch_seed(seed: int | None = None) -> None:
    """Seed PyTorch's global source, and ask PyTorch for deterministic algorithms; None does nothing."""
    if seed is not None:
        torch.manual_seed(seed)
        if torch.cuda.is_available():
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.deterministic = True
