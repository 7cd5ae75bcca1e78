"""Distributions over real vectors of d values, without bounds."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from anyspace.distributions.base import ActionDistribution
from anyspace.maths.xp import Array, Rng, xp
from anyspace.tree import Tree

if TYPE_CHECKING:
    import gymnasium as gym

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def size_of(space: gym.Space[Any]) -> int:
    """How many numbers d one action of a leaf space holds."""
    return math.prod(space.shape or ())


class VectorDistribution(ActionDistribution):
    """What distributions over real vectors share: samples shaped like the space, and nothing to mask.

    Args:
        inputs: As the class documents them.
        model: The model that made them.
        mask: None. The argument is there so that all distributions are built alike.
        action_space: Samples have its shape, ``[B, *shape]``; without it they are ``[B, d]``.

    Raises:
        ValueError: A mask is given: real numbers are no separate options.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        *,
        mask: None = None,
        action_space: gym.Space[Any] | None = None,
    ) -> None:
        if mask is not None:
            raise ValueError(f"{type(self).__name__} is continuous: it has no separate actions to mask.")
        super().__init__(inputs, model)
        self.action_space = action_space

    def _as_actions(self, values: Array) -> Array:
        """Shape ``[B, d]`` as ``[B, *shape]`` of the space, and keep it as the latest sample."""
        space = self.action_space
        shape = values.shape if space is None else (*self._batch_shape, *(space.shape or ()))
        self.last_sample = xp(values).reshape(values, shape)
        return self.last_sample

    def option_log_probs(self) -> list[Array]:
        """Return nothing: numbers are no choices."""
        return []


class DiagGaussian(VectorDistribution):
    """Independent normal distributions. `VectorDistribution` documents the other arguments.

    Args:
        inputs: d means, then d logarithms of standard deviations ``[B, 2d]``.
        log_std_clip: Limits log standard deviations to [-log_std_clip, log_std_clip]; None leaves them free.

    Raises:
        ValueError: The inputs are not two equal halves.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        *,
        mask: None = None,
        action_space: gym.Space[Any] | None = None,
        log_std_clip: float | None = None,
    ) -> None:
        super().__init__(inputs, model, mask=mask, action_space=action_space)
        if inputs.shape[-1] % 2:
            raise ValueError(f"DiagGaussian needs a mean and a log-std per action value, got {inputs.shape}.")
        self.log_std_clip = log_std_clip

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """A mean and a log standard deviation per value of the action."""
        return 2 * size_of(action_space)

    @cached_property
    def mean(self) -> Array:
        """Means ``[B, d]``."""
        return self.inputs[..., : self.inputs.shape[-1] // 2]

    @cached_property
    def log_std(self) -> Array:
        """Logarithms of the standard deviations ``[B, d]``, limited where asked for."""
        log_std = self.inputs[..., self.inputs.shape[-1] // 2 :]
        limit = self.log_std_clip
        return log_std if limit is None else xp(log_std).clip(log_std, -limit, limit)

    @property
    def noise_width(self) -> int:
        """Values per action d."""
        return int(self.inputs.shape[-1]) // 2

    def standard_noise(self, rng: Rng, steps: int) -> Array:
        """Normal noise ``[steps, B, d]``."""
        return xp(self.inputs).normal(rng, (steps, *self._batch_shape, self.noise_width), like=self.inputs)

    def sample_from_noise(self, noise: Array) -> Array:
        """Actions mean + std * ``noise`` ``[B, *shape]``, without a gradient."""
        return self._as_actions(xp(self.inputs).stop_gradient(self._along(noise)))

    def path_sample(self, rng: Rng = None) -> Array:
        """Actions mean + std * noise ``[B, *shape]``, with the gradient of both."""
        return self._as_actions(self._along(self.standard_noise(rng, 1)[0]))

    def sample_logp(self, rng: Rng = None) -> tuple[Tree, Array]:
        """Draw actions mean + std * noise and return them with their log-density ``[B]``; both carry the gradient."""
        noise = self.standard_noise(rng, 1)[0]
        logp = -xp(noise).sum(0.5 * noise**2 + self.log_std + _HALF_LOG_2PI, axis=-1)
        return self._as_actions(self._along(noise)), logp

    def _along(self, noise: Array) -> Array:
        return self.mean + xp(noise).exp(self.log_std) * noise

    def deterministic_sample(self) -> Array:
        """Means ``[B, *shape]``."""
        return self._as_actions(self.mean)

    def logp(self, actions: Array) -> Array:
        """Log-density ``[B]`` of ``actions``, ``[B, *shape]`` or ``[B, d]``."""
        ns = xp(self.inputs)
        # Shaped like the means first: [B] actions minus [B, 1] means would broadcast to [B, B].
        values = ns.reshape(ns.asarray(actions, like=self.inputs), self.mean.shape)
        scaled = (values - self.mean) * ns.exp(-self.log_std)
        return -ns.sum(0.5 * scaled**2 + self.log_std + _HALF_LOG_2PI, axis=-1)

    def entropy(self) -> Array:
        """Sum of log std + (1 + log 2 pi) / 2 ``[B]``."""
        return xp(self.inputs).sum(self.log_std + (0.5 + _HALF_LOG_2PI), axis=-1)

    def kl(self, other: DiagGaussian) -> Array:
        """Sum of log(s2 / s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2 ``[B]``; ``other`` is number 2."""
        ns = xp(self.inputs)
        log_ratio = self.log_std - other.log_std
        shift = (self.mean - other.mean) * ns.exp(-other.log_std)
        return ns.sum(0.5 * (ns.exp(2.0 * log_ratio) + shift**2 - 1.0) - log_ratio, axis=-1)


class Deterministic(VectorDistribution):
    """No randomness: the inputs are the action. It has neither entropy nor divergence.

    Args:
        inputs: Actions ``[B, d]``. `VectorDistribution` documents the other arguments.
    """

    depends_on_model = False

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """One number per value of the action."""
        return size_of(action_space)

    def standard_noise(self, rng: Rng, steps: int) -> Array:
        """No noise at all ``[steps, B, 0]``."""
        return xp(self.inputs).full((steps, *self._batch_shape, 0), 0.0, like=self.inputs)

    def sample_from_noise(self, noise: Array) -> Array:
        """The inputs ``[B, *shape]``."""
        return self._as_actions(self.inputs)

    def deterministic_sample(self) -> Array:
        """The inputs ``[B, *shape]``."""
        return self._as_actions(self.inputs)

    def logp(self, actions: Array) -> Array:
        """Zeros ``[B]``: the action could not have been another one."""
        return xp(self.inputs).full(self._batch_shape, 0.0, like=self.inputs)
