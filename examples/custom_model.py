"""A network of your own in PyTorch: residual layers, with a head for the policy and one for the value."""

from typing import Any

import torch
from torch import Tensor, nn

from anyspace import PPO
from anyspace.models import ModelCatalog, TorchModelV2


class Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, features: Tensor) -> Any:
        return features + self.inner(features)


class ResidualModel(TorchModelV2):
    def __init__(
        self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str, width: int = 32
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.body = nn.Sequential(nn.Linear(obs_space.shape[0], width), Residual(width), Residual(width))
        self.logits, self.value = nn.Linear(width, num_outputs), nn.Linear(width, 1)
        self.features = torch.zeros(0)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> tuple[Tensor, Any]:
        self.features = self.body(input_dict["obs_flat"])
        return self.logits(self.features), state

    def value_function(self) -> Any:
        return self.value(self.features).squeeze(1)


def main(steps: int = 40_000) -> float:
    ModelCatalog.register_custom_model("residual", ResidualModel)
    algo = PPO("CartPole-v1", model={"custom_model": "residual", "custom_model_config": {"width": 64}}, seed=0)
    algo.learn(steps, progress=False)
    found = float(algo.evaluate(episodes=10)["episode_return_mean"])
    print(f"return: {found:.0f}")
    return found


if __name__ == "__main__":
    main()
