"""Weights that passes use and that are none of the model's parameters, so that nothing trains or saves them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn
from torch.autograd.graph import Node

from anyspace.errors import ModelError
from anyspace.models.whereabouts import ways_to


def require_none_outside(
    module: nn.Module, results: Sequence[torch.Tensor], again: Callable[[], Sequence[torch.Tensor]]
) -> None:
    """Require that gradients of what a pass gave go to the parameters and buffers of the model alone.

    A tensor that the pass made itself may take a gradient, for a penalty on it say.

    Args:
        module: the model.
        results: of a pass.
        again: what makes one more pass and returns its results.

    Raises:
        ModelError: they go to a parameter, or to a tensor of earlier, that the model does not hold.
    """
    held = {id(one) for one in (*module.parameters(), *module.buffers())}
    outside = [leaf for leaf in _leaves(results) if id(leaf) not in held]
    if not outside:
        return
    later = {id(leaf) for leaf in _leaves(again())}
    name = type(module).__name__
    for leaf in outside:
        if id(leaf) in later:
            if any(node.name() == "CheckpointFunctionBackward" for node in _nodes(results)):
                raise ModelError(
                    f"{name} checkpoints with use_reentrant=True, which hides from gradients what it computes, and"
                    " needs a tensor beside it that takes one: give torch.utils.checkpoint.checkpoint(...,"
                    " use_reentrant=False), and leave such a tensor out."
                )
            way = ways_to(module, [leaf]).get(id(leaf))
            who = f"{name}, or its action distribution," if way is None else name
            where = "a tensor" if way is None else f"{name}.{way.path}"
            raise ModelError(
                f"{who} computes with {where}, of shape {tuple(leaf.shape)}, which is none of its parameters: it would"
                " be neither trained nor saved. Let the model hold modules as attributes of its own, several in an"
                " nn.ModuleList or nn.ModuleDict, and tensors as nn.Parameter; what is to stay as it is, hold as"
                " an attribute, and freeze it by requires_grad_(False)."
            )
        if isinstance(leaf, nn.Parameter):
            raise ModelError(
                f"{name} makes a parameter of shape {tuple(leaf.shape)} anew in every pass, so that it would never be"
                " trained: make it, or the layer that it is of, in the constructor."
            )


def _leaves(results: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the tensors in which the graphs of some results begin."""
    found = {id(one): one for one in results if one.is_leaf and one.requires_grad}
    for node in _nodes(results):
        if isinstance(node, torch._C._functions.AccumulateGrad):  # type: ignore[attr-defined]
            found[id(node.variable)] = node.variable
    return list(found.values())


def _nodes(results: Sequence[torch.Tensor]) -> Iterator[Node]:
    """Yield the nodes of the graphs of some results."""
    waiting = [one.grad_fn for one in results if one.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        for before, _ in node.next_functions:
            if before is not None and before not in seen:
                seen.add(before)
                waiting.append(before)
