"""A loss beside the algorithm's: the features have to predict where the pole will be."""

from typing import Any

import torch
from torch import Tensor, nn

from anyspace import PPO
from anyspace.models import TorchModelV2, ViewRequirement


class Predicting(TorchModelV2):
    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        # The observation after the action is known in training alone.
        self.view_requirements["new_obs"] = ViewRequirement("new_obs", space=obs_space, used_for_compute_actions=False)
        self.body = nn.Sequential(nn.Linear(obs_space.shape[0], 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.logits, self.value = nn.Linear(64, num_outputs), nn.Linear(64, 1)
        self.num_actions = int(action_space.n)
        self.next = nn.Linear(64 + self.num_actions, obs_space.shape[0])
        self.features = self.error = torch.zeros(0)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> tuple[Tensor, Any]:
        self.features = self.body(input_dict["obs_flat"])
        return self.logits(self.features), state

    def value_function(self) -> Any:
        return self.value(self.features).squeeze(1)

    def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
        actions = nn.functional.one_hot(loss_inputs["actions"].long(), self.num_actions)
        predicted = self.next(torch.cat([self.features, actions], dim=1))
        self.error = nn.functional.mse_loss(predicted, loss_inputs["new_obs"])
        return [loss + 0.1 * self.error for loss in policy_loss]

    def metrics(self) -> dict[str, Any]:
        return {"prediction_error": self.error.item()}


def main(steps: int = 40_000) -> float:
    algo = PPO("CartPole-v1", model={"custom_model": Predicting}, seed=0)
    first = algo.train()["learner"]["model"]["prediction_error"]
    last = algo.learn(steps, progress=False)["learner"]["model"]["prediction_error"]
    found = float(algo.evaluate(episodes=10)["episode_return_mean"])
    print(f"return {found:.0f}; the prediction's squared error fell from {first:.3f} to {last:.3f}")
    return found


if __name__ == "__main__":
    main()
