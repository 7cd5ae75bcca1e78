"""`models.preprocessors` of RLlib's old stack. Its preprocessors are those of `anyspace.spaces`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace import spaces
from anyspace.models.config import completed

ATARI_OBS_SHAPE = (210, 160, 3)
ATARI_RAM_OBS_SHAPE = (128,)
OBS_VALIDATION_INTERVAL = 100
"""How often RLlib looked at an observation; here every one is checked."""


class _Any(type):
    """Lets every preprocessor count as one of the old base class."""

    def __subclasscheck__(cls, subclass: type) -> bool:
        if cls is Preprocessor:
            return issubclass(subclass, spaces.Preprocessor)
        return super().__subclasscheck__(subclass)

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls.__subclasscheck__(type(instance))


class Preprocessor(spaces.Preprocessor, metaclass=_Any):
    """Base of preprocessors of your own: a sub-class implements ``_init_shape`` and ``transform``.

    Algorithms choose the preprocessor by the space; call yours in a ``gymnasium.ObservationWrapper`` whose observation
    space is the preprocessor's.

    Args:
        obs_space: the space of the observations.
        options: a model configuration; None: the defaults.
    """

    def __init__(self, obs_space: gym.Space[Any], options: Mapping[str, Any] | None = None):
        super().__init__(obs_space)
        self._obs_space, self._options = obs_space, completed(options or {})
        self.shape = tuple(int(side) for side in self._init_shape(obs_space, self._options))
        self.size = self._size = math.prod(self.shape)
        self.observation_space = gym.spaces.Box(-math.inf, math.inf, self.shape)

    def _init_shape(self, obs_space: gym.Space[Any], options: Mapping[str, Any]) -> Sequence[int]:
        """Return the shape of one result."""
        raise NotImplementedError(f"{type(self).__name__} must implement _init_shape(obs_space, options)")

    def transform(self, obs: Any) -> npt.NDArray[Any]:
        """Return an observation as an array of that shape."""
        raise NotImplementedError(f"{type(self).__name__} must implement transform(observation)")

    def write(self, observation: Any, array: npt.NDArray[Any], offset: int) -> None:
        """Write a result side by side into ``array`` [F], from position ``offset`` on."""
        array[offset : offset + self.size] = np.ravel(self.transform(observation))


def get_preprocessor(space: gym.Space[Any], include_multi_binary: bool = False) -> type[spaces.Preprocessor]:
    """Return the class of a space's preprocessor, as in ``get_preprocessor(space)(space).size``.

    Args:
        space: the observation space.
        include_multi_binary: accepted for old call sites; MultiBinary passes as it is.

    Raises:
        UnsupportedSpaceError: naming the leaf that has no encoding.
    """
    return type(spaces.get_preprocessor(space))
