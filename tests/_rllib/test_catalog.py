"""The doors of RLlib's ``ModelCatalog`` that the library's own does not have."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple

from anyspace import models, spaces
from anyspace._rllib.catalog import ModelCatalog
from anyspace.distributions import Categorical
from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from tests.support.catalogue import discrete


def test_it_builds_more_than_models():
    env = gym.make("CartPole-v1")
    assert isinstance(ModelCatalog.get_preprocessor(env), spaces.NoPreprocessor)
    with pytest.raises(ConfigError, match="dimm"):
        ModelCatalog.get_preprocessor(env, {"dimm": 3})
    nested = Tuple([Discrete(3), Box(-1, 1, (2,))])
    assert ModelCatalog.get_action_shape(nested) == (np.float32, (None, 3))
    assert ModelCatalog.get_action_shape(Tuple([Discrete(3), MultiDiscrete([2, 2])])) == (np.int64, (None, 3))
    assert ModelCatalog.get_action_shape(Box(-1, 1, (2, 3), np.float64)) == (np.float32, (None, 2, 3))
    for space in (Discrete(3), discrete(3, 0, np.int32)):
        assert ModelCatalog.get_action_shape(space) == (np.int64, (None,))
    for space in (Box(0, 5, (2,), np.int8), MultiBinary(2)):
        assert ModelCatalog.get_action_shape(space) == (np.int64, (None, 2))
    for space in (Text(5), Sequence(Discrete(3)), Tuple([Discrete(2), Graph(Discrete(2), None)])):
        with pytest.raises(UnsupportedSpaceError):
            ModelCatalog.get_action_shape(space)
    with pytest.raises(ModelError, match=r"get_action_placeholder: .*get_action_shape"):
        ModelCatalog.get_action_placeholder(nested)


def test_the_preprocessor_of_a_space():
    assert type(ModelCatalog.get_preprocessor_for_space(Dict(a=Discrete(2)))) is spaces.DictFlatteningPreprocessor


def test_the_framework_of_a_distribution_is_taken_and_not_needed():
    assert ModelCatalog.get_action_dist(Discrete(3), {}, None, "tf") == (Categorical, 3)


def test_models_and_distributions_are_those_of_the_library():
    assert ModelCatalog.get_model_v2 is models.ModelCatalog.get_model_v2
    own = {name for name in vars(models.ModelCatalog) if not name.startswith("_")}
    assert own == {"get_action_dist", "get_model_v2", "register_custom_action_dist", "register_custom_model"}
