"""An algorithm of your own: PPO's clipping gives way to a penalty (Simple Policy Optimization, Xie et al., 2024).

It works with every space, mask and memory, and in every framework, for it says nothing of any of them.
"""

from dataclasses import dataclass
from typing import Any

from anyspace import PPO
from anyspace.algorithms.ppo import PPOConfig
from anyspace.maths.xp import xp


@dataclass(frozen=True)
class SPOConfig(PPOConfig):
    """PPO's keys and one more."""

    epsilon: float = 0.2
    """How far the probability ratio may move, above 0."""


class SPO(PPO):
    """Maximises r A - |A| (r - 1)^2 / (2 epsilon), where r = pi(a) / pi_old(a) and A is the advantage."""

    config_class = SPOConfig

    def losses(self, policy: Any, batch: Any) -> Any:
        config: Any = self.config
        now = policy.evaluate(batch, value=True, training=True)
        logp = now.distribution.logp(batch["actions"])
        ratio, advantage = xp(logp).exp(logp - batch["action_logp"]), batch["advantages"]
        gain = ratio * advantage - abs(advantage) * (ratio - 1) ** 2 / (2 * config.epsilon)
        policy_loss = -batch.mean(gain)
        vf_loss = batch.mean((now.values - batch["value_targets"]) ** 2)
        kl = batch.mean(batch["action_logp"] - logp)
        total = policy_loss + config.vf_loss_coeff * vf_loss
        return {"policy": total}, {"policy_loss": policy_loss, "vf_loss": vf_loss, "kl": kl}


def main(steps: int = 40_000) -> float:
    settings = {"lr": 1e-3, "train_batch_size": 1024, "minibatch_size": 256, "num_epochs": 4, "gamma": 0.98}
    algo = SPO("CartPole-v1", settings, num_envs_per_env_runner=8, model={"fcnet_hiddens": [64, 64]}, seed=0)
    algo.learn(steps, progress=False)
    found = float(algo.evaluate(episodes=10)["episode_return_mean"])
    print(f"return: {found:.0f}")
    return found


if __name__ == "__main__":
    main()
