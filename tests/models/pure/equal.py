"""Built-in networks over arrays beside the PyTorch modules of the same names, with the same weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow as tf
import torch

from anyspace import tree
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import ModelV2
from anyspace.models.pure.base import ArrayModel
from anyspace.spaces.repeated_values import map_arrays
from tests.support import frameworks

assert frameworks.FRAMEWORKS, "imported before JAX computes: it sets how much XLA optimises"


def models_within(model: ModelV2, prefix: str = "") -> Iterator[tuple[str, ArrayModel]]:
    """Yield a model and all models that are attributes of it, with the prefixes of their weights."""
    assert isinstance(model, ArrayModel)
    yield prefix, model
    for name, part in vars(model).items():
        if isinstance(part, ModelV2):
            yield from models_within(part, f"{prefix}{name}.")


def named_weights(model: ModelV2) -> dict[str, Any]:
    """Return the weights of a model and of all models within it."""
    return {prefix + name: value for prefix, part in models_within(model) for name, value in part.weights.items()}


@contextlib.contextmanager
def bound(model: ModelV2, weights: dict[str, Any]) -> Iterator[None]:
    """Let a model and the models within it have these weights; they are as they were afterwards."""
    parts = list(models_within(model))
    before = [dict(vars(part)) for _, part in parts]
    for prefix, part in parts:
        part.weights = {name: weights[prefix + name] for name in part.weights}
    try:
        yield
    finally:
        for (_, part), own in zip(parts, before, strict=True):
            vars(part).clear()
            vars(part).update(own)


def take_weights(model: ModelV2, module: torch.nn.Module, scale: float = 0.3) -> dict[str, np.ndarray]:
    """Give a module random weights, and a model the same by name. Return them."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    own = {name: value.shape for name, value in named_weights(model).items()}
    assert own == {name: value.shape for name, value in state.items()}
    for prefix, part in models_within(model):
        part.weights = {name: state[prefix + name].copy() for name in part.weights}
    return state


def inputs_of(columns: dict[str, Any], convert: Callable[[Any], Any]) -> InputDict:
    """Return columns with all arrays converted."""
    return InputDict(
        {name: value if isinstance(value, bool) else map_arrays(convert, value) for name, value in columns.items()}
    )


Pass = Callable[[ModelV2, Any, Any, Any], Any]
"""A model, an input dict, states and lengths of sequences -> arrays, in a tree."""


def forward_and_value(model: Any, inputs: Any, state: Any, seq_lens: Any) -> Any:
    """Return outputs, states and values."""
    output, state_out = model(inputs, state, seq_lens)
    has_value = getattr(model, "value_head", True) is not None
    return [output, *state_out, *([model.value_function()] if has_value else [])]


def assert_equal(
    model: ModelV2,
    module: Any,
    columns: dict[str, Any],
    state: list[np.ndarray] | None = None,
    seq_lens: np.ndarray | None = None,
    *,
    run: Pass = forward_and_value,
    real: np.ndarray | None = None,
    gradients: bool = False,
    compiled: bool = True,
) -> None:
    """Assert that a pass gives the same in PyTorch, NumPy, JAX and TensorFlow, to 1e-5 of what is as large as 1.

    Args:
        model: over arrays.
        module: of PyTorch; its weights are overwritten.
        columns: NumPy's.
        state: NumPy's, or None.
        seq_lens: NumPy's, or None.
        run: what is compared.
        real: which rows are compared, of results that have as many; None: all.
        gradients: whether the gradients of the weights are compared as well, to 1e-4.
        compiled: whether JAX is among them, which takes as long as all others together.
    """
    weights = take_weights(model, module)
    given = (state or [], seq_lens)
    tensors = tree.map_leaves(lambda leaf: None if leaf is None else torch.as_tensor(leaf), given)
    expected = [_real(leaf, real) for leaf in tree.leaves(run(module, inputs_of(columns, torch.as_tensor), *tensors))]

    def traced(weights: dict[str, Any], state: Any, seq_lens: Any) -> tuple[Any, list[Any]]:
        with bound(model, weights):
            results = run(model, inputs_of(columns, jnp.asarray), state, seq_lens)
        leaves = [_real(leaf, real) for leaf in tree.leaves(results)]
        return sum((leaf * _slopes(leaf.shape).numpy()).sum() for leaf in leaves), leaves

    found, of_weights = {}, {}
    if gradients:
        (_, found["jax"]), of_weights = jax.jit(jax.value_and_grad(traced, has_aux=True))(weights, *given)
    elif compiled:
        _, found["jax"] = jax.jit(traced)(weights, *given)
    found["numpy"] = tree.leaves(run(model, inputs_of(columns, np.asarray), *given))
    with bound(model, {name: tf.constant(value) for name, value in weights.items()}):
        tensors = tree.map_leaves(lambda leaf: None if leaf is None else tf.constant(leaf), given)
        found["tensorflow"] = [
            leaf.numpy() for leaf in tree.leaves(run(model, inputs_of(columns, tf.constant), *tensors))
        ]
    for framework, results in found.items():
        for own, wanted in zip(results, expected, strict=True):
            own = _real(own, None if framework == "jax" else real)
            assert str(own.dtype) == str(wanted.dtype).removeprefix("torch."), framework
            np.testing.assert_allclose(own, wanted.detach(), rtol=1e-5, atol=1e-5, err_msg=framework)
    if gradients:
        # Any function of all results will do.
        sum(((leaf * _slopes(leaf.shape)).sum() for leaf in expected), torch.zeros(())).backward()
        for name, parameter in module.named_parameters():
            wanted = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad
            np.testing.assert_allclose(of_weights[name], wanted, rtol=1e-4, atol=1e-4, err_msg=name)


def _real(leaf: Any, real: np.ndarray | None) -> Any:
    return leaf if real is None or tuple(leaf.shape[:1]) != real.shape else leaf[np.flatnonzero(real)]


def _slopes(shape: Any) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(1))
