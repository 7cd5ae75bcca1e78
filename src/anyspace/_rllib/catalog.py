"""``ModelCatalog`` of RLlib's old stack: that of `anyspace.models`, and doors that files of the old stack use."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np

from anyspace import models, nesting
from anyspace.config import merge
from anyspace.distributions import ActionDistribution
from anyspace.errors import ConfigError, ModelError
from anyspace.models.action_dists import DistributionFactory
from anyspace.models.config import ModelConfig
from anyspace.spaces import Preprocessor, get_preprocessor
from anyspace.spaces.decoding import check_action_space


class ModelCatalog(models.ModelCatalog):
    """Builds models, distributions and preprocessors from spaces and a model configuration."""

    @staticmethod
    def register_custom_preprocessor(name: str, preprocessor_class: type) -> NoReturn:
        """Refuse: preprocessors follow from the space.

        Raises:
            ConfigError: always; it names what takes their place.
        """
        raise ConfigError(
            f"the preprocessor {name!r} cannot be registered: preprocessors follow from the space. Put the class into a"
            ' gymnasium.ObservationWrapper, and give that as config={"wrappers": [...]}.'
        )

    @staticmethod
    def get_preprocessor(
        env: gym.Env[Any, Any], options: dict[str, Any] | None = None, include_multi_binary: bool = False
    ) -> Preprocessor:
        """Return the preprocessor of an environment's observations; see :meth:`get_preprocessor_for_space`."""
        return ModelCatalog.get_preprocessor_for_space(env.observation_space, options, include_multi_binary)

    @staticmethod
    def get_preprocessor_for_space(
        observation_space: gym.Space[Any], options: dict[str, Any] | None = None, include_multi_binary: bool = False
    ) -> Preprocessor:
        """Return the preprocessor of a space.

        Args:
            observation_space: the space.
            options: a model configuration, which is checked; Atari's spaces carry its keys themselves.
            include_multi_binary: accepted for old call sites; MultiBinary passes as it is.

        Raises:
            ConfigError: ``options`` has a key that no model configuration has.
            UnsupportedSpaceError: naming the leaf that has no encoding.
        """
        merge(ModelConfig(), options or {}).validate()
        return get_preprocessor(observation_space)

    @staticmethod
    def get_action_shape(
        action_space: gym.Space[Any], framework: str = "torch"
    ) -> tuple[np.dtype[Any], tuple[int | None, ...]]:
        """Return the dtype and the shape of flat actions in a batch, ``(None, ...)`` for any number of rows.

        ``Tuple([Discrete(3), Box(-1, 1, (2,))])`` gives ``(float32, (None, 3))``; whole numbers are int64.

        Args:
            action_space: the environment's action space.
            framework: accepted for old call sites; the dtype is NumPy's.

        Raises:
            UnsupportedSpaceError: actions of the space cannot be chosen; names the leaf.
        """
        check_action_space(action_space)
        leaves = nesting.leaves(action_space)
        whole = all(leaf.dtype is not None and leaf.dtype.kind != "f" for leaf in leaves)
        dtype = np.dtype(np.int64 if whole else np.float32)
        if nesting.is_leaf(action_space):
            return dtype, (None, *(action_space.shape or ()))
        return dtype, (None, sum(math.prod(leaf.shape or ()) for leaf in leaves))

    @staticmethod
    def get_action_placeholder(action_space: gym.Space[Any], name: str = "action") -> NoReturn:
        """Refuse: there are no placeholders of TensorFlow's graphs.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            "get_action_placeholder: there are no placeholders, in any framework. Take the dtype and shape from"
            " ModelCatalog.get_action_shape(action_space)."
        )

    @staticmethod
    def get_action_dist(
        action_space: gym.Space[Any],
        config: ModelConfig | dict[str, Any] | None = None,
        dist_type: type[ActionDistribution] | str | None = None,
        framework: str = "torch",
    ) -> tuple[DistributionFactory, int]:
        """Return a distribution and the width of its input; ``framework`` is accepted for old call sites.

        See :meth:`anyspace.models.ModelCatalog.get_action_dist`; the distributions serve every framework.
        """
        return models.ModelCatalog.get_action_dist(action_space, config, dist_type)
