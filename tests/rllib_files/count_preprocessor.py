"""A preprocessor of an older release, and the wrapper by which it is used since."""

import gymnasium as gym
import numpy as np

from anyspace.rllib.models.catalog import ModelCatalog
from anyspace.rllib.models.preprocessors import NoPreprocessor, Preprocessor, get_preprocessor
from anyspace.rllib.utils.annotations import override
from anyspace.rllib.utils.filter import MeanStdFilter
from anyspace.rllib.utils.numpy import flatten_inputs_to_1d_tensor, softmax
from anyspace.rllib.utils.spaces.repeated import Repeated
from anyspace.rllib.utils.spaces.space_utils import get_base_struct_from_space


class CountPreprocessor(Preprocessor):
    """How often each kind of a list of things comes, and the rest as RLlib had it."""

    @override(Preprocessor)
    def _init_shape(self, obs_space, options):
        assert options["fcnet_hiddens"]
        self.things = obs_space["things"]
        assert isinstance(self.things, Repeated)
        self.rest = get_preprocessor(obs_space["rest"])(obs_space["rest"], options)
        self.filter = MeanStdFilter((self.things.child_space.n,), clip=None)
        return (self.things.child_space.n + self.rest.size,)

    @override(Preprocessor)
    def transform(self, observation):
        self.check_shape(observation)
        counts = np.bincount(observation["things"], minlength=self.things.child_space.n).astype(np.float64)
        self.filter(counts)
        array = np.zeros(self.shape, np.float32)
        array[: len(counts)] = softmax(counts)
        self.rest.write(observation["rest"], array, len(counts))
        return array


class Counted(gym.ObservationWrapper):
    """Shows what the preprocessor makes of observations."""

    def __init__(self, env):
        super().__init__(env)
        self.prep = CountPreprocessor(env.observation_space)
        self.observation_space = self.prep.observation_space

    def observation(self, observation):
        return self.prep.transform(observation)


def plain_features(env, observation):
    """Return what RLlib's own preprocessor gives, and the same by hand."""
    prep = ModelCatalog.get_preprocessor(env)
    assert isinstance(prep, Preprocessor)
    assert not isinstance(prep, NoPreprocessor)
    struct = get_base_struct_from_space(env.observation_space)
    return prep.transform(observation), flatten_inputs_to_1d_tensor(observation, struct, batch_axis=False)
