"""Distributions over finite choices around ``torch.distributions``; `dists` says what they have in common.

Letters: B rows, A options of a choice, k choices, S slates, n bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import distributions as td
from torch.nn.functional import logsigmoid

from anyspace._rllib.torch.wrapper import Inputs, TorchDistributionWrapper, as_inputs
from anyspace.distributions import Bernoulli, Categorical, GumbelSoftmax, MultiCategorical, SlateMultiCategorical
from anyspace.distributions.allowed import allowed_by
from anyspace.distributions.choices import places_of_slates
from anyspace.maths.splitting import split_last

_FORBIDDEN = -3.4e38
"""The logit of what a mask forbids: its probability is exactly 0, and no gradient or divergence is NaN."""


class TorchCategorical(TorchDistributionWrapper):
    """One of A actions: `dist` is a ``Categorical``; see `anyspace.distributions.Categorical`.

    Args:
        inputs: logits [B, A].
        model: the model that made them.
        temperature: above 1 flattens the probabilities, below 1 sharpens them.
        mask: allowed actions [B, A].

    Raises:
        AssertionError: ``temperature`` is not positive.
    """

    depends_on_model = False

    def __init__(
        self, inputs: Inputs, model: Any = None, temperature: float = 1.0, *, mask: torch.Tensor | None = None
    ):
        if not temperature > 0.0:
            raise AssertionError(f"TorchCategorical needs a temperature above 0, got {temperature}.")
        super().__init__(inputs, model)
        self.mask = mask
        if temperature != 1.0:
            scaled = self.inputs / temperature
            # Kept finite: logits of -3.4e38 would overflow, and gradients of divergences become NaN.
            limits = torch.finfo(scaled.dtype)
            self.inputs = scaled.clamp(limits.min, limits.max)
        self.dist = _categorical(self.inputs, mask)

    @staticmethod
    def required_model_output_shape(action_space: spaces.Discrete[Any], model_config: Any) -> int:
        """One logit per action."""
        return Categorical.required_model_output_shape(action_space, model_config)

    def deterministic_sample(self) -> torch.Tensor:
        """The likeliest action [B], the first one of equals."""
        self.last_sample = _likeliest(self._wrapped("deterministic_sample"))
        return self.last_sample

    def logp(self, actions: Any) -> torch.Tensor:
        """Log-probability of actions [B], or [B, 1]."""
        return super().logp(self._values(actions).reshape(self._batch_shape))

    def option_log_probs(self) -> list[torch.Tensor]:
        """Log-probabilities of the actions [B, A]."""
        return [_log_probs(self._wrapped("option_log_probs"))]


def get_torch_categorical_class_with_temperature(t: float) -> type[TorchCategorical]:
    """Return a `TorchCategorical` whose temperature is ``t`` unless it is given."""

    class TorchCategoricalWithTemperature(TorchCategorical):
        """`TorchCategorical` with a default temperature of its own."""

        depends_on_model = False

        def __init__(
            self, inputs: Inputs, model: Any = None, temperature: float = t, *, mask: torch.Tensor | None = None
        ):
            super().__init__(inputs, model, temperature, mask=mask)

    return TorchCategoricalWithTemperature


class TorchMultiCategorical(TorchDistributionWrapper):
    """k independent choices: ``cats`` is a list of ``Categorical``; see `anyspace.distributions.MultiCategorical`.

    Args:
        inputs: the choices' logits side by side [B, sum(input_lens)].
        model: the model that made them.
        input_lens: number of options of each choice.
        action_space: samples have its shape, [B, *shape]; None: [B, k].
        mask: allowed options, laid out as the inputs.
    """

    depends_on_model = False
    cats: list[td.Distribution]

    def __init__(
        self,
        inputs: Inputs,
        model: Any,
        input_lens: Sequence[int],
        action_space: gym.Space[Any] | None = None,
        *,
        mask: torch.Tensor | None = None,
    ):
        super().__init__(inputs, model)
        self.mask = mask
        lens = [int(length) for length in input_lens]
        parts = split_last(self.inputs, lens)
        masks = [None] * len(lens) if mask is None else split_last(self._values(mask), lens)
        self.cats = [_categorical(part, allowed) for part, allowed in zip(parts, masks, strict=True)]
        self.input_lens, self.action_space = tuple(lens), action_space

    @staticmethod
    def required_model_output_shape(action_space: spaces.MultiDiscrete[Any] | spaces.Box, model_config: Any) -> int:
        """One logit per option of each component."""
        return MultiCategorical.required_model_output_shape(action_space, model_config)

    def sample(self) -> torch.Tensor:  # type: ignore[override]
        """Draw an option of each choice, [B, k] or [B, *shape]."""
        return self._as_samples(torch.stack([choice.sample() for choice in self.cats], dim=-1))

    def deterministic_sample(self) -> torch.Tensor:
        """Each choice's likeliest option, [B, k] or [B, *shape]."""
        return self._as_samples(torch.stack([_likeliest(choice) for choice in self.cats], dim=-1))

    def logp(self, actions: Any) -> torch.Tensor:
        """Sum of the choices' log-probabilities [B] of actions [B, k], [B, *shape] or a list of k arrays [B]."""
        if isinstance(actions, list | tuple):
            columns = [self._values(column) for column in actions]
        else:
            columns = [*self._values(actions).reshape(*self._batch_shape, len(self.cats)).unbind(dim=-1)]
        pairs = zip(self.cats, columns, strict=True)
        return torch.stack([choice.log_prob(column) for choice, column in pairs], dim=-1).sum(dim=-1)

    def option_log_probs(self) -> list[torch.Tensor]:
        """Log-probabilities of the options of each choice, [B, n] each."""
        return [*map(_log_probs, self.cats)]

    def multi_entropy(self) -> torch.Tensor:
        """Entropy of each choice [B, k]."""
        return torch.stack([choice.entropy() for choice in self.cats], dim=-1)

    def entropy(self) -> torch.Tensor:
        """Sum of the choices' entropies [B]."""
        return self.multi_entropy().sum(dim=-1)

    def multi_kl(self, other: Any) -> torch.Tensor:
        """Divergence of each choice [B, k]."""
        pairs = zip(self.cats, other.cats, strict=True)
        return torch.stack([td.kl_divergence(mine, theirs) for mine, theirs in pairs], dim=-1)

    def kl(self, other: Any) -> torch.Tensor:
        """Sum of the choices' divergences [B]."""
        return self.multi_kl(other).sum(dim=-1)


class TorchSlateMultiCategorical(TorchCategorical):
    """One choice among S slates: `dist` is a ``Categorical`` over them; see `anyspace.distributions`.

    Args:
        inputs: logits [B, S].
        model: the model that made them.
        temperature: as for `TorchCategorical`.
        action_space: ``MultiDiscrete([n] * k)``.
        all_slates: the slates [S, k]; None: every ordered choice of k different candidates.
        mask: allowed candidates, position by position [B, k * n].
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Inputs,
        model: Any = None,
        temperature: float = 1.0,
        action_space: spaces.MultiDiscrete[Any] | None = None,
        all_slates: Any = None,
        *,
        mask: torch.Tensor | None = None,
    ):
        assert action_space is not None, "TorchSlateMultiCategorical needs its action_space, a MultiDiscrete([n] * k)."
        slates = SlateMultiCategorical(
            as_inputs(inputs, model), mask=mask, action_space=action_space, all_slates=all_slates
        )
        super().__init__(inputs, model, temperature, mask=slates.mask)
        self.action_space, self.all_slates = action_space, slates.all_slates

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """One logit per ordered choice of different candidates."""
        return SlateMultiCategorical.required_model_output_shape(action_space, model_config)

    def sample(self) -> torch.Tensor:  # type: ignore[override]
        """Draw a slate per row [B, k]."""
        return self._as_samples(self.all_slates[super().sample()])

    def deterministic_sample(self) -> torch.Tensor:
        """The likeliest slate [B, k]."""
        return self._as_samples(self.all_slates[super().deterministic_sample()])

    def logp(self, actions: Any) -> torch.Tensor:
        """Log-probability of slates [B, k]; -inf for one that does not exist."""
        table = self.all_slates.cpu().numpy()
        index, exists = places_of_slates(self._values(actions).long(), table, int(table.max()) + 1)
        return torch.where(exists, super().logp(index), -torch.inf)


class TorchBernoulli(TorchDistributionWrapper):
    """n independent bits: `dist` is a ``Bernoulli``; see `anyspace.distributions.Bernoulli` for the arguments."""

    depends_on_model = False

    def __init__(
        self,
        inputs: Inputs,
        model: Any = None,
        *,
        mask: torch.Tensor | None = None,
        action_space: gym.Space[Any] | None = None,
    ):
        super().__init__(inputs, model)
        self.mask = mask
        logits = self.inputs
        if mask is not None:
            allowed = allowed_by(self._values(mask).reshape(*logits.shape, 2), like=logits)
            logits = torch.where(allowed[..., 1], logits, _FORBIDDEN)
            logits = torch.where(allowed[..., 0], logits, -_FORBIDDEN)
        self.dist = td.Bernoulli(logits=logits, validate_args=False)
        self.action_space = action_space

    @staticmethod
    def required_model_output_shape(action_space: spaces.MultiBinary, model_config: Any) -> int:
        """One logit per bit."""
        return Bernoulli.required_model_output_shape(action_space, model_config)

    def sample(self) -> torch.Tensor:  # type: ignore[override]
        """Draw bits [B, *shape]."""
        return self._as_samples(self._wrapped("sample").sample().long())

    def deterministic_sample(self) -> torch.Tensor:
        """Each bit's likelier value [B, *shape], 0 where both are."""
        return self._as_samples((self._wrapped("deterministic_sample").mean > 0.5).long())

    def logp(self, actions: Any) -> torch.Tensor:
        """Sum of the bits' log-probabilities [B]."""
        bits = self._values(actions).reshape(self.inputs.shape).to(self.inputs.dtype)
        return super().logp(bits).sum(dim=-1)

    def option_log_probs(self) -> list[torch.Tensor]:
        """Log-probabilities that each bit is 0, and 1, [B, 2] each."""
        logits: torch.Tensor = self._wrapped("option_log_probs").logits  # type: ignore[attr-defined]
        return [*torch.stack([logsigmoid(-logits), logsigmoid(logits)], dim=-1).unbind(dim=-2)]

    def entropy(self) -> torch.Tensor:
        """Sum of the bits' entropies [B]."""
        return super().entropy().sum(dim=-1)

    def kl(self, other: Any) -> torch.Tensor:
        """Sum of the bits' divergences [B]."""
        return super().kl(other).sum(dim=-1)


class TorchGumbelSoftmax(GumbelSoftmax):
    """Relaxed one-hot actions, with the temperature where it was; see `anyspace.distributions.GumbelSoftmax`."""

    depends_on_model = False

    def __init__(
        self, inputs: torch.Tensor, model: Any = None, temperature: float = 1.0, *, mask: torch.Tensor | None = None
    ):
        super().__init__(inputs, model, mask=mask, temperature=temperature)


def _categorical(logits: torch.Tensor, mask: Any) -> td.Categorical:
    if mask is not None:
        logits = torch.where(allowed_by(mask, like=logits), logits, _FORBIDDEN)
    # Shifted first: of a row of -3.4e38 PyTorch takes the sum of the exponentials for one of them.
    return td.Categorical(logits=logits - logits.detach().amax(dim=-1, keepdim=True), validate_args=False)


def _log_probs(dist: td.Distribution) -> torch.Tensor:
    log_probs: torch.Tensor = dist.logits  # type: ignore[attr-defined]
    return log_probs


def _likeliest(dist: td.Distribution) -> torch.Tensor:
    likeliest: torch.Tensor = dist.probs.argmax(dim=-1)  # type: ignore[attr-defined]
    return likeliest
