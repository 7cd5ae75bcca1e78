"""Distributions over real vectors around ``torch.distributions``; `dists` says what they have in common.

Letters: B rows, d values of an action.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import distributions as td
from torch.nn import functional

from anyspace._rllib.torch.wrapper import Inputs, TorchDistributionWrapper
from anyspace.distributions import Beta, Deterministic, DiagGaussian, Dirichlet, SquashedGaussian
from anyspace.distributions.bounded import Bounds
from anyspace.maths.limits import INPUT_LIMIT, MARGIN


class _OfVectors(TorchDistributionWrapper):
    """What distributions over d real values share; ``dist`` has them along its last axis."""

    depends_on_model = False

    def sample(self) -> torch.Tensor:  # type: ignore[override]
        """Draw an action per row [B, *shape]."""
        return self._as_samples(self._wrapped("sample").sample())

    def path_sample(self, rng: Any = None) -> torch.Tensor:
        """Draw an action per row [B, *shape], with the gradient of the inputs where ``dist`` gives one."""
        return self._as_samples(super().path_sample(rng))

    def deterministic_sample(self) -> torch.Tensor:
        """Means [B, *shape]."""
        return self._as_samples(self._wrapped("deterministic_sample").mean)

    def logp(self, actions: Any) -> torch.Tensor:
        """Log-density [B] of actions, [B, *shape] or [B, d]."""
        dist = self._wrapped("logp")
        # Shaped like the means first: [B] actions beside [B, 1] means would broadcast to [B, B].
        values = self._values(actions).reshape(*dist.batch_shape, *dist.event_shape)
        return super().logp(values).sum(dim=-1)

    def option_log_probs(self) -> list[torch.Tensor]:
        """Return nothing: numbers are no choices."""
        return []

    def entropy(self) -> torch.Tensor:
        """Sum of the values' entropies [B]."""
        return super().entropy().sum(dim=-1)

    def kl(self, other: Any) -> torch.Tensor:
        """Sum of the values' divergences [B]."""
        return super().kl(other).sum(dim=-1)

    def _halves(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both halves of the inputs [B, d]."""
        if self.inputs.shape[-1] % 2:
            name, shape = type(self).__name__, tuple(self.inputs.shape)
            raise ValueError(f"{name} needs two numbers per action value, got inputs of shape {shape}.")
        first, second = self.inputs.chunk(2, dim=-1)
        return first, second


class TorchDiagGaussian(_OfVectors):
    """Independent normal distributions: `dist` is a ``Normal``; see `anyspace.distributions.DiagGaussian`.

    Args:
        inputs: d means, then d logarithms of standard deviations [B, 2d].
        model: the model that made them.
        action_space: samples have its shape.
        log_std_clip: limits log standard deviations to plus and minus this; None leaves them free.

    Attributes:
        log_std: logarithms of the standard deviations [B, d].
        zero_action_dim: whether an action is a single number without axes.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Inputs,
        model: Any = None,
        *,
        action_space: gym.Space[Any] | None = None,
        log_std_clip: float | None = None,
    ):
        super().__init__(inputs, model)
        mean, log_std = self._halves()
        self.log_std = log_std if log_std_clip is None else log_std.clamp(-log_std_clip, log_std_clip)
        self.dist = td.Normal(mean, self.log_std.exp(), validate_args=False)
        self.action_space = action_space
        self.zero_action_dim = action_space is not None and action_space.shape == ()

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """A mean and a log standard deviation per value of the action."""
        return DiagGaussian.required_model_output_shape(action_space, model_config)


class _OfIntervals(_OfVectors):
    """What distributions within (low, high) share: ``_squash`` takes samples of ``dist`` there, ``_unsquash`` back."""

    depends_on_model = False
    low: Bounds
    high: Bounds

    def sample(self) -> torch.Tensor:  # type: ignore[override]
        """Draw an action per row [B, *shape]; it carries the gradient of the inputs."""
        return self._as_samples(self._squash(self._wrapped("sample").rsample()))

    def deterministic_sample(self) -> torch.Tensor:
        """Squashed means [B, *shape]."""
        return self._as_samples(self._squash(self._wrapped("deterministic_sample").mean))

    def _squash(self, raw_values: torch.Tensor) -> torch.Tensor:
        """Return the actions [B, d] of samples of ``dist``."""
        raise self._missing("_squash")

    def _unsquash(self, values: torch.Tensor) -> torch.Tensor:
        """Return what ``dist`` scores for actions [B, d]."""
        raise self._missing("_unsquash")

    def _unsquashed(self, actions: Any) -> torch.Tensor:
        dist = self._wrapped("logp")
        values = self._values(actions).to(dist.mean.dtype)
        return self._unsquash(values.reshape(*dist.batch_shape, *dist.event_shape))

    def _limits(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the bounds, of the dtype and on the device of ``like``."""
        if not np.all(np.less(self.low, self.high)):
            raise AssertionError(
                f"{type(self).__name__} needs low < high in every component, got low {self.low} and high {self.high}."
            )
        low, high = (torch.as_tensor(bound, dtype=like.dtype, device=like.device) for bound in (self.low, self.high))
        return low, high

    def _stretch(self, shares: torch.Tensor) -> torch.Tensor:
        """Return the actions that lie so far between low and high, never on them."""
        low, high = self._limits(shares)
        inside = low + shares.clamp(MARGIN, 1.0 - MARGIN) * (high - low)
        # Rounding may carry the sum over a bound where the interval is narrow and far from 0.
        return torch.minimum(torch.maximum(inside, low), high)

    def _share(self, values: torch.Tensor) -> torch.Tensor:
        """Undo `_stretch`; what lies on a bound or beyond it counts as just inside."""
        low, high = self._limits(values)
        return ((values - low) / (high - low)).clamp(MARGIN, 1.0 - MARGIN)

    def _log_width(self) -> torch.Tensor:
        """Sum of log(high - low): what stretching from (0, 1) takes off every log-density."""
        low, high = self._limits(self.inputs)
        return (high - low).log().expand(self._wrapped("logp").mean.shape[-1]).sum()


class TorchSquashedGaussian(_OfIntervals):
    """Normal distributions, squashed into (low, high) by tanh: `dist` is a ``Normal`` before that.

    It has no entropy in closed form; its divergence is the divergence of the normal distributions.

    Args:
        inputs: d means, then d logarithms of standard deviations, which are limited to [-5, 2] [B, 2d].
        model: the model that made them.
        low: lower bound, one number or one per value.
        high: upper bound, likewise.
        action_space: samples have its shape.

    Attributes:
        mean: means [B, d] before squashing.
        std: standard deviations [B, d] before squashing.

    Raises:
        AssertionError: a lower bound is not below its upper bound.
    """

    depends_on_model = False
    has_entropy = False

    def __init__(
        self,
        inputs: Inputs,
        model: Any = None,
        low: Bounds = -1.0,
        high: Bounds = 1.0,
        *,
        action_space: gym.Space[Any] | None = None,
    ):
        super().__init__(inputs, model)
        self.low, self.high, self.action_space = low, high, action_space
        self.mean, log_std = self._halves()
        self._limits(self.mean)
        self.std = log_std.clamp(-5.0, 2.0).exp()
        self.dist = td.Normal(self.mean, self.std, validate_args=False)

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """Two numbers per value of the action."""
        return SquashedGaussian.required_model_output_shape(action_space, model_config)

    def logp(self, actions: Any) -> torch.Tensor:
        """Log-density [B] of actions, [B, *shape] or [B, d]."""
        return self._raw_logp(self._unsquashed(actions))

    def sample_logp(self, rng: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw actions and return them with their log-density [B], exact also where tanh is flat."""
        raw = self._wrapped("sample_logp").rsample()
        return self._as_samples(self._squash(raw)), self._raw_logp(raw)

    def entropy(self) -> torch.Tensor:
        """Raise a ValueError: there is none in closed form."""
        raise ValueError("TorchSquashedGaussian has no entropy in closed form; override entropy() with an estimate.")

    def _raw_logp(self, raw: torch.Tensor) -> torch.Tensor:
        # log of d(share) / d(raw) = (1 - tanh^2) / 2, written so that no large number cancels.
        log_slope = math.log(2.0) - 2.0 * (raw + functional.softplus(-2.0 * raw))
        return (self._wrapped("logp").log_prob(raw) - log_slope).sum(dim=-1) - self._log_width()

    def _squash(self, raw_values: torch.Tensor) -> torch.Tensor:
        return self._stretch(0.5 * (raw_values.tanh() + 1.0))

    def _unsquash(self, values: torch.Tensor) -> torch.Tensor:
        return torch.atanh(2.0 * self._share(values) - 1.0)


class TorchBeta(_OfIntervals):
    """Beta distributions, stretched to (low, high): `dist` is a ``Beta`` on (0, 1).

    Args:
        inputs: d numbers for alpha, then d for beta, each 1 + softplus(input) [B, 2d]; inputs are limited to plus and
            minus 13.8155.
        model: the model that made them.
        low: lower bound, one number or one per value.
        high: upper bound, likewise.
        action_space: samples have its shape.

    Raises:
        AssertionError: a lower bound is not below its upper bound.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Inputs,
        model: Any = None,
        low: Bounds = 0.0,
        high: Bounds = 1.0,
        *,
        action_space: gym.Space[Any] | None = None,
    ):
        super().__init__(inputs, model)
        self.low, self.high, self.action_space = low, high, action_space
        self.inputs = 1.0 + functional.softplus(self.inputs.clamp(-INPUT_LIMIT, INPUT_LIMIT))
        alpha, beta = self._halves()
        self._limits(alpha)
        self.dist = td.Beta(alpha, beta, validate_args=False)

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """Two numbers per value of the action."""
        return Beta.required_model_output_shape(action_space, model_config)

    def logp(self, actions: Any) -> torch.Tensor:
        """Log-density [B] of actions, [B, *shape] or [B, d]; one on a bound counts as just inside."""
        return self._wrapped("logp").log_prob(self._unsquashed(actions)).sum(dim=-1) - self._log_width()

    def entropy(self) -> torch.Tensor:
        """Differential entropy [B] of the stretched distribution."""
        return super().entropy() + self._log_width()

    def _squash(self, raw_values: torch.Tensor) -> torch.Tensor:
        return self._stretch(raw_values)

    def _unsquash(self, values: torch.Tensor) -> torch.Tensor:
        return self._share(values)


class TorchDeterministic(TorchDistributionWrapper):
    """No randomness: the inputs are the action. It has neither entropy nor divergence, and no `dist`."""

    depends_on_model = False
    has_entropy = False
    has_kl = False

    def __init__(self, inputs: Inputs, model: Any = None, *, action_space: gym.Space[Any] | None = None):
        super().__init__(inputs, model)
        self.action_space = action_space

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """One number per value of the action."""
        return Deterministic.required_model_output_shape(action_space, model_config)

    def deterministic_sample(self) -> torch.Tensor:
        """The inputs [B, *shape]."""
        return self._as_samples(self.inputs)

    def sample(self) -> torch.Tensor:  # type: ignore[override]
        """The same as `deterministic_sample`."""
        return self.deterministic_sample()

    def option_log_probs(self) -> list[torch.Tensor]:
        """Return nothing: numbers are no choices."""
        return []

    def logp(self, actions: Any) -> torch.Tensor:
        """Zeros [B]: the action could not have been another one."""
        return torch.zeros(self._batch_shape, dtype=self.inputs.dtype, device=self.inputs.device)


class TorchDirichlet(TorchDistributionWrapper):
    """Shares of a whole: `dist` is a ``Dirichlet`` in float64; see `anyspace.distributions.Dirichlet`.

    Args:
        inputs: d logarithms of the concentrations [B, d], limited to plus and minus 13.8155.
        model: the model that made them.
        action_space: its shape [..., k] says what sums to 1; None: all d numbers of an action do.
    """

    depends_on_model = False
    epsilon = 1e-7
    """Smaller shares of a whole count as this; it is added to the concentrations, too."""

    def __init__(self, inputs: Inputs, model: Any = None, *, action_space: gym.Space[Any] | None = None):
        super().__init__(inputs, model)
        concentration = self.inputs.double().clamp(-INPUT_LIMIT, INPUT_LIMIT).exp() + self.epsilon
        if action_space is not None and len(action_space.shape or ()) > 1:
            concentration = concentration.reshape(*self._batch_shape, *(action_space.shape or ()))
        self.dist = td.Dirichlet(concentration, validate_args=False)
        self.action_space = action_space

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """One number per share."""
        return Dirichlet.required_model_output_shape(action_space, model_config)

    def sample(self) -> torch.Tensor:  # type: ignore[override]
        """Draw shares [B, *shape], none below 1e-7; they carry the gradient of the inputs."""
        return self._as_samples(self._off_the_edge(self._wrapped("sample").rsample()).to(self.inputs.dtype))

    def deterministic_sample(self) -> torch.Tensor:
        """Means [B, *shape]."""
        return self._as_samples(self._wrapped("deterministic_sample").mean.to(self.inputs.dtype))

    def logp(self, actions: Any) -> torch.Tensor:
        """Log-density [B] of actions, [B, *shape] or [B, d]."""
        dist = self._wrapped("logp")
        shares = self._values(actions).double().reshape(*dist.batch_shape, *dist.event_shape)
        return self._result(super().logp(self._off_the_edge(shares)))

    def option_log_probs(self) -> list[torch.Tensor]:
        """Return nothing: numbers are no choices."""
        return []

    def entropy(self) -> torch.Tensor:
        """Sum of the rows' entropies [B]."""
        return self._result(super().entropy())

    def kl(self, other: Any) -> torch.Tensor:
        """Sum of the rows' divergences [B]."""
        return self._result(super().kl(other))

    def _off_the_edge(self, shares: torch.Tensor) -> torch.Tensor:
        raised = shares.clamp(min=float(self.epsilon))
        return raised / raised.sum(dim=-1, keepdim=True)

    def _result(self, rows: torch.Tensor) -> torch.Tensor:
        """Sum what each whole gives, [B, ...] to [B]."""
        return rows.reshape(*self._batch_shape, -1).sum(dim=-1).to(self.inputs.dtype)
