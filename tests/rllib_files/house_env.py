"""An environment file: contexts, tasks, nested spaces of other modules, and what its project has for several agents."""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from anyspace.rllib.env.apis.task_settable_env import TaskSettableEnv
from anyspace.rllib.env.env_context import EnvContext
from anyspace.rllib.env.multi_agent_env import MultiAgentEnv
from anyspace.rllib.env.wrappers.exception_wrapper import ResetOnExceptionWrapper
from anyspace.rllib.utils.annotations import PublicAPI, override
from anyspace.rllib.utils.error import EnvError
from anyspace.rllib.utils.numpy import one_hot
from anyspace.rllib.utils.schedules import LinearSchedule, PiecewiseSchedule
from anyspace.rllib.utils.spaces.flexdict import FlexDict
from anyspace.rllib.utils.spaces.space_utils import clip_action, flatten_to_single_ndarray
from anyspace.rllib.utils.typing import EnvConfigDict, MultiAgentDict


class TwoAgentHouse(MultiAgentEnv):
    """Of the same project; nobody builds it here."""

    def step(self, action_dict: MultiAgentDict):
        raise NotImplementedError


@PublicAPI
class House(TaskSettableEnv):
    """Walk to the room whose number is the task."""

    def __init__(self, config: EnvConfigDict | EnvContext):
        self.rooms = config.get("rooms", 4)
        if self.rooms < 2:
            raise EnvError("a house needs two rooms")
        self.observation_space = FlexDict({})
        self.observation_space["position"] = Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space["room"] = Discrete(self.rooms)
        self.action_space = Discrete(3)
        self.patience = LinearSchedule(schedule_timesteps=20, final_p=4, initial_p=12, framework=None)
        self.bonus = PiecewiseSchedule([(0, 1.0), (10, 2.0)], framework=None, outside_value=2.0)
        self.episodes = 0
        self.set_task(self.rooms - 1)

    @override(TaskSettableEnv)
    def sample_tasks(self, n_tasks):
        return list(np.random.randint(self.rooms, size=n_tasks))

    @override(TaskSettableEnv)
    def set_task(self, task):
        self.task = task

    @override(TaskSettableEnv)
    def get_task(self):
        return self.task

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.room, self.t = 0, 0
        self.episodes += 1
        return self._observe(), {"flat": flatten_to_single_ndarray([one_hot(self.room, depth=self.rooms), np.zeros(1)])}

    def step(self, action):
        self.room = int(clip_action(np.array(self.room + action - 1), Box(0, self.rooms - 1, (), np.int64)))
        self.t += 1
        there = self.room == self.task
        reward = float(self.bonus.value(self.t)) if there else -0.1
        return self._observe(), reward, there, self.t >= self.patience.value(self.episodes), {}

    def _observe(self):
        return {"position": np.float32([np.cos(self.room), np.sin(self.t)]), "room": self.room}


class Shaky(House):
    """Fails now and then."""

    def step(self, action):
        if self.episodes % 5 == 4 and self.t == 2:
            self.episodes += 1
            raise RuntimeError("the door is stuck")
        return super().step(action)


def make_shaky(config: EnvContext) -> gym.Env:
    return ResetOnExceptionWrapper(Shaky(config), max_reset_attempts=3)
