"""A distribution of your own, written over `xp`: the same class serves PyTorch, JAX, TensorFlow and NumPy."""

from typing import Any

from anyspace import PPO
from anyspace.distributions import ActionDistribution
from anyspace.maths.xp import xp


class Logistic(ActionDistribution):
    """Independent logistic distributions: like Gaussians, with heavier tails."""

    @staticmethod
    def required_model_output_shape(action_space: Any, model_config: Any) -> int:
        return 2 * int(action_space.shape[0])

    def _parameters(self) -> tuple[Any, Any]:
        half = self.inputs.shape[-1] // 2
        return self.inputs[..., :half], self.inputs[..., half:]

    def sample(self, rng: Any = None) -> Any:
        ns = xp(self.inputs)
        mean, log_scale = self._parameters()
        first, second = (ns.gumbel(one, tuple(mean.shape), like=mean) for one in ns.split(rng, 2))
        self.last_sample = mean + ns.exp(log_scale) * (first - second)
        return self.last_sample

    def deterministic_sample(self) -> Any:
        self.last_sample = self._parameters()[0]
        return self.last_sample

    def logp(self, actions: Any) -> Any:
        ns = xp(self.inputs)
        mean, log_scale = self._parameters()
        z = abs(actions - mean) / ns.exp(log_scale)
        return ns.sum(-z - 2 * ns.log(1 + ns.exp(-z)) - log_scale, -1)

    def entropy(self) -> Any:
        return xp(self.inputs).sum(2 + self._parameters()[1], -1)


def main(steps: int = 40_000) -> float:
    algo = PPO("MountainCarContinuous-v0", model={"custom_action_dist": Logistic}, seed=0)
    before = float(algo.evaluate(episodes=10)["episode_return_mean"])
    algo.learn(steps, progress=False)
    found = float(algo.evaluate(episodes=10)["episode_return_mean"])
    print(f"return before {round(before)}, after {round(found)}")
    return found


if __name__ == "__main__":
    main()
