"""A model that sees the observation before: velocities that the environment hides follow from two positions."""

from typing import Any

import gymnasium as gym
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from anyspace import PPO
from anyspace.models import TorchModelV2, ViewRequirement


class PositionsOnly(gym.ObservationWrapper[Any, Any, Any]):
    """CartPole without its velocities."""

    def __init__(self, env: gym.Env[Any, Any]):
        super().__init__(env)
        self.observation_space = Box(-5, 5, (2,))

    def observation(self, observation: Any) -> Any:
        return observation[[0, 2]]


class WithVelocities(TorchModelV2):
    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.view_requirements["last_obs"] = ViewRequirement("obs", shift="-1:0", space=obs_space)
        self.body = nn.Sequential(nn.Linear(2 * obs_space.shape[0], 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.logits, self.value = nn.Linear(64, num_outputs), nn.Linear(64, 1)
        self.features = torch.zeros(0)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> tuple[Tensor, Any]:
        before, now = input_dict["last_obs"].unbind(1)  # of [N, 2, F]
        velocities = (now - before) / 0.02  # seconds of a step
        self.features = self.body(torch.cat([now, velocities], dim=1))
        return self.logits(self.features), state

    def value_function(self) -> Any:
        return self.value(self.features).squeeze(1)


def main(steps: int = 40_000) -> float:
    found = {}
    for name, model in {"one observation": {}, "two observations": {"custom_model": WithVelocities}}.items():
        algo = PPO("CartPole-v1", wrappers=[PositionsOnly], model=model, seed=0)
        algo.learn(steps, progress=False)
        found[name] = float(algo.evaluate(episodes=10)["episode_return_mean"])
        print(f"{name}: {found[name]:.0f}")
    return found["two observations"]


if __name__ == "__main__":
    main()
