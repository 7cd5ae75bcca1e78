"""Whether gradients get from what a model puts out to its parameters, asked before training starts."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from anyspace.distributions import ActionDistribution
from anyspace.errors import ModelError
from anyspace.maths.xp import Array
from anyspace.policy.check import (
    blank_batch,
    dist_name,
    distribution_of,
    explained,
    in_distribution,
    logp_of_a_sample,
    same_randomness,
)
from anyspace.policy.pipeline import Pipeline

_LOG = logging.getLogger("anyspace")


class _Words(NamedTuple):
    """How authors of models in one framework speak of gradients."""

    none: str
    """Why there may be nothing to train, and what to do."""
    detached: str
    """By what gradients are cut off."""
    path: str
    """How samples with gradients are not drawn, and how they are."""
    join: str
    """What puts real and imaginary parts together."""


_WORDS = {
    "torch": _Words(
        "there are none, or all are frozen (requires_grad=False). Release those that are to learn, for example by"
        " `requires_grad_(True)` of the last layer",
        ".detach(), .item(), .numpy(), torch.no_grad(), or as a new tensor of its numbers",
        "without .detach(), torch.no_grad() or stop_gradient; of torch.distributions take rsample()",
        "torch.complex",
    ),
    "jax": _Words(
        "it holds no array of JAX with floats, and no nnx.Param. Arrays of NumPy are constants: make weights by"
        " jnp.asarray(...) in the constructor",
        "jax.lax.stop_gradient, or a function without a gradient, such as jnp.argmax or jnp.round",
        "without jax.lax.stop_gradient or a function that has no gradient",
        "jax.lax.complex",
    ),
    "tf": _Words(
        "there are none, or all are frozen (trainable=False). Release those that are to learn, for example by"
        " `trainable = True` of the last layer",
        "tf.stop_gradient, .numpy(), or a function without a gradient, such as tf.argmax or tf.round",
        "without tf.stop_gradient, .numpy() or a function that has no gradient",
        "tf.complex",
    ),
}
"""By framework."""


def require_gradients(policy: Pipeline, found: Reached | None) -> None:
    """Require that gradients reach parameters which are to learn, and warn of what will not change, or hardly.

    Args:
        policy: whose model is to learn.
        found: as :func:`reached` returned it for the policy.

    Raises:
        ModelError: every parameter is frozen, one is complex, or no gradient gets from the output, or from the
            log-probabilities of a user's distribution, to any of them.
    """
    name, trained = type(policy.model).__name__, policy.runtime.trained(policy.model)
    words = _WORDS[policy.runtime.framework]
    if not trained:
        raise ModelError(f"{name} has no parameters to train: {words.none}, or call evaluate() instead of train().")
    for parameter, value in policy.runtime.parameters(policy.model).items():
        if parameter in trained and value.dtype.kind == "c":
            raise ModelError(
                f"{name} cannot be trained: its weight `{parameter}` is {value.dtype}, but optimisers move real"
                " numbers. Hold the real and the imaginary part as two, and put them together in forward(), by"
                f" {words.join}(real, imaginary)."
            )
    if narrow := policy.runtime.narrow(policy.model):
        _LOG.warning(
            f"{name}: {len(narrow)} weights have 16 bits (`{min(narrow)}`), which lose each step that is small beside a"
            " weight, so that little is learnt. Layers may compute in 16 bits; keep their weights float32."
        )
    if found is None:
        return
    whole = re.search(r"u?int\d+|bool", found.dtype)
    if not found.output and whole is not None:
        raise ModelError(
            f"{name}.forward() gives an output of {whole[0]}, through which no gradient gets back, so nothing would be"
            " learnt: return the floats that the layers computed."
        )
    for what, names in (
        (f"{name}.forward() gives an output", found.output),
        (f"{dist_name(policy)}.logp() gives log-probabilities", found.logp),
    ):
        if names is not None and not names:
            raise ModelError(
                f"{what} from which no gradient gets back to a parameter of the model, so nothing would be learnt. It"
                f" was detached on the way: by {words.detached}. Return what the layers computed."
            )
    if found.value is not None and not found.value:
        _LOG.warning(
            f"{name}.value_function(): no gradient gets from the values to a parameter, so no value is learnt."
        )
    if not found.output & trained:
        _LOG.warning(f"{name}: the output depends on frozen parameters alone, so the policy stays as it is.")


class Reached(NamedTuple):
    """To which parameters gradients go, by name; None: there is no such result, or it need not be looked at."""

    output: frozenset[str]
    value: frozenset[str] | None
    logp: frozenset[str] | None
    """Of a distribution of the user's."""
    dtype: str
    """Of the output."""


def reached_by_value(policy: Pipeline) -> frozenset[str]:
    """Return the names of the parameters that the value depends on; an algorithm without a critic leaves them alone."""
    found = reached(policy)
    return frozenset() if found is None or found.value is None else found.value


def reached(policy: Pipeline) -> Reached | None:
    """Run the model on zeros, with gradients, and return to which parameters they go; None: the framework cannot tell.

    Frozen parameters are among them: whether a result is detached does not depend on what is frozen.

    Raises:
        ModelError: the model fails where gradients are recorded.
    """
    is_custom = policy.config.model.custom_action_dist is not None

    dtypes: list[str] = []

    def compute() -> list[Array]:
        inputs, values, distribution = _pass_on_zeros(policy, value=policy.has_values)
        dtypes[:] = [str(inputs.dtype)]
        logp = [logp_of_a_sample(policy, distribution)] if is_custom else []
        return [inputs, *([] if values is None else [values]), *logp]

    with same_randomness(policy), explained(policy, "with gradients"):
        found = policy.runtime.reached(policy.model, compute)
    if found is None:
        return None
    return Reached(found[0], found[1] if policy.has_values else None, found[-1] if is_custom else None, *dtypes)


def require_paths(policy: Pipeline, parts: Callable[[ActionDistribution], list[ActionDistribution]]) -> None:
    """Require that gradients get from the samples of a user's distribution to the model.

    Args:
        policy: whose model is to learn by what its samples lead to.
        parts: the distributions, of an action distribution, that are sampled with gradients.

    Raises:
        ModelError: no gradient gets from a sample to any parameter, or the sampling fails.
    """
    if policy.config.model.custom_action_dist is None:
        return
    names: list[str] = []

    def compute() -> list[Array]:
        drawn = parts(_pass_on_zeros(policy, value=False)[2])
        names[:] = [type(part).__name__ for part in drawn]
        with in_distribution(policy, "sample_logp"):
            return [part.sample_logp(policy.runtime.rng("evaluation", part.inputs))[0] for part in drawn]

    with same_randomness(policy), explained(policy, "when an action is drawn with gradients"):
        found = policy.runtime.reached(policy.model, compute)
    for name, reached_by_sample in zip(names, found or [], strict=False):
        if not reached_by_sample:
            raise ModelError(
                f"{name}: no gradient gets from its samples to a parameter of the model, and the policy learns by that"
                f" gradient. Implement {name}.path_sample(rng), which draws as sample() does, from what the model puts"
                f" out, {_WORDS[policy.runtime.framework].path}."
            )


def _pass_on_zeros(policy: Pipeline, *, value: bool) -> tuple[Array, Array | None, ActionDistribution]:
    """Run the model, and return what the distribution takes, the values if they are asked for, and the distribution."""
    batch = blank_batch(policy, policy.example, np.ones(2, np.int64))
    output, values = policy.forward(batch, value=value)
    inputs = policy.model.action_inputs(output, batch.mask)
    return inputs, values, distribution_of(policy, inputs, batch.mask)
