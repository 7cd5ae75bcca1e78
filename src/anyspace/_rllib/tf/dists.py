"""The distributions that files of RLlib's old stack use on TensorFlow, with the parameters in their old order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from anyspace import distributions
from anyspace.distributions import ActionDistribution
from anyspace.distributions.bounded import Bounds
from anyspace.maths.xp import Array
from anyspace.tree import Tree


def _given_sample(self: TFActionDistribution) -> Tree:
    """Return the sample."""
    self.last_sample = self.sample_op
    return self.last_sample


class TFActionDistribution(ActionDistribution):
    """Base of distributions that make one sample, by `_build_sample_op`, which `sample` returns.

    A class that does not implement it samples anew with each call, as the distributions of the library do.
    """

    depends_on_model = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "_build_sample_op" in vars(cls) and "sample" not in vars(cls):
            cls.sample = _given_sample  # type: ignore[assignment, method-assign]
        super().__init_subclass__(**kwargs)

    @cached_property
    def sample_op(self) -> Tree:
        """The sample; it is made when it is first asked for."""
        return self._build_sample_op()

    @cached_property
    def sampled_action_logp_op(self) -> Array:
        """`logp` of the sample [B]."""
        return self.logp(self.sample_op)

    def _build_sample_op(self) -> Tree:
        """Return a sample, of the nearest class that has one of its own."""
        samples = (vars(kind)["sample"] for kind in type(self).__mro__ if "sample" in vars(kind))
        found: Tree = next(sample for sample in samples if sample is not _given_sample)(self)
        return found


class Categorical(distributions.Categorical, TFActionDistribution):
    """One of A actions; see `anyspace.distributions.Categorical`."""

    depends_on_model = False

    def __init__(self, inputs: Array, model: Any = None, temperature: float = 1.0, *, mask: Array | None = None):
        super().__init__(inputs, model, mask=mask, temperature=temperature)


def get_categorical_class_with_temperature(t: float) -> type[Categorical]:
    """Return a `Categorical` whose temperature is ``t`` unless it is given."""

    class CategoricalWithTemperature(Categorical):
        """`Categorical` with a default temperature of its own."""

        depends_on_model = False

        def __init__(self, inputs: Array, model: Any = None, temperature: float = t, *, mask: Array | None = None):
            super().__init__(inputs, model, temperature, mask=mask)

    return CategoricalWithTemperature


class MultiCategorical(distributions.MultiCategorical, TFActionDistribution):
    """k independent choices; see `anyspace.distributions.MultiCategorical`."""

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any,
        input_lens: Sequence[int],
        action_space: gym.Space[Any] | None = None,
        *,
        mask: Array | None = None,
    ):
        super().__init__(inputs, model, mask=mask, input_lens=input_lens, action_space=action_space)


class SlateMultiCategorical(distributions.SlateMultiCategorical, TFActionDistribution):
    """A slate of several items; see `anyspace.distributions.SlateMultiCategorical`.

    Raises:
        TypeError: there is no ``action_space``.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        temperature: float = 1.0,
        action_space: spaces.MultiDiscrete[Any] | None = None,
        all_slates: npt.NDArray[np.integer] | None = None,
        *,
        mask: Array | None = None,
    ):
        if action_space is None:
            raise TypeError("SlateMultiCategorical needs the action_space, which says how long slates are.")
        super().__init__(
            inputs, model, mask=mask, action_space=action_space, all_slates=all_slates, temperature=temperature
        )


class GumbelSoftmax(distributions.GumbelSoftmax, TFActionDistribution):
    """Relaxed one-hot actions; see `anyspace.distributions.GumbelSoftmax`."""

    depends_on_model = False

    def __init__(self, inputs: Array, model: Any = None, temperature: float = 1.0, *, mask: Array | None = None):
        super().__init__(inputs, model, mask=mask, temperature=temperature)


class DiagGaussian(distributions.DiagGaussian, TFActionDistribution):
    """Independent Gaussians; see `anyspace.distributions.DiagGaussian`."""

    depends_on_model = False


class SquashedGaussian(distributions.SquashedGaussian, TFActionDistribution):
    """Gaussians squashed into bounds; see `anyspace.distributions.SquashedGaussian`."""

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        low: Bounds = -1.0,
        high: Bounds = 1.0,
        *,
        action_space: gym.Space[Any] | None = None,
    ):
        super().__init__(inputs, model, action_space=action_space, low=low, high=high)


class Beta(distributions.Beta, TFActionDistribution):
    """Beta distributions between bounds; see `anyspace.distributions.Beta`."""

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        low: Bounds = 0.0,
        high: Bounds = 1.0,
        *,
        action_space: gym.Space[Any] | None = None,
    ):
        super().__init__(inputs, model, action_space=action_space, low=low, high=high)


class Deterministic(distributions.Deterministic, TFActionDistribution):
    """The model's output itself; see `anyspace.distributions.Deterministic`."""

    depends_on_model = False


class Dirichlet(distributions.Dirichlet, TFActionDistribution):
    """Proportions; see `anyspace.distributions.Dirichlet`."""

    depends_on_model = False


class MultiActionDistribution(distributions.MultiActionDistribution, TFActionDistribution):
    """Actions of several parts; see `anyspace.distributions.MultiActionDistribution`."""

    depends_on_model = False
