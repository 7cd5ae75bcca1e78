"""A policy whose choices and values are known, and what it lives through in a ``Script``, by plain loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace.data.collector import Collector
from anyspace.data.rewards import ReturnMoments
from anyspace.data.vector import VectorSource
from anyspace.models import TorchModelV2
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.plan import Plan
from anyspace.policy.policy import Policy
from tests.support.environments import ENDS, Script, ScriptVector

MODES = list(AutoresetMode)
KINDS = ("sync", "own")


def chosen(obs: dict[str, Any]) -> int:
    """The action of :class:`Known`: 1 while t is not above the environment's number."""
    number, _, t = obs["where"]
    return int(number - t + 0.5 > 0)


def valued(obs: dict[str, Any]) -> float:
    """The value of :class:`Known`."""
    number, episode, t = obs["where"]
    return float(0.1 * number + 0.3 * episode - 0.2 * t + 0.05 * obs["last"])


class Known(TorchModelV2):
    """Spells :func:`chosen` and :func:`valued` for batches."""

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.obs = input_dict["obs"]
        number, _, t = self.obs["where"].unbind(1)
        return torch.stack([torch.zeros_like(t), number - t + 0.5], 1), state

    def value_function(self) -> Any:
        weights = torch.tensor([0.1, 0.3, -0.2])
        return self.obs["where"] @ weights + 0.05 * self.obs["last"][:, 1]


def known_policy(config: PolicyConfig | None = None) -> Policy:
    model = Known(Script.observation_space, Script.action_space, 2, {})
    runtime, plan = TorchRuntime("cpu"), Plan.with_model(model)
    return Policy(Script.observation_space, Script.action_space, config or PolicyConfig(), runtime, plan)


def scripts(in_place: bool = False) -> list[Script]:
    """Three environments whose episodes end at different times."""
    return [Script(number, ENDS[number:] + ENDS[:number], in_place) for number in range(3)]


def vector_env(mode: AutoresetMode, kind: str = "sync") -> Any:
    envs = scripts()
    if kind == "own":
        return ScriptVector(envs, mode)
    makers: list[Callable[[], Any]] = [lambda env=env: env for env in envs]  # type: ignore[misc]
    return SyncVectorEnv(makers, autoreset_mode=mode)


def collector(mode: AutoresetMode, kind: str = "sync", returns: ReturnMoments | None = None) -> Collector:
    return Collector(VectorSource(vector_env(mode, kind)), known_policy(), returns)


def lived(number: int, steps: int, first_episode: int = 0) -> list[dict[str, Any]]:
    """The first steps of environment ``number``, played alone."""
    env = scripts()[number]
    env.episode = first_episode - 1
    obs, _ = env.reset()
    found = []
    for _ in range(steps):
        action = chosen(obs)
        seen, reward, terminated, truncated, _ = env.step(action)
        found.append(
            {
                "obs": obs,
                "action": action,
                "reward": reward,
                "terminated": terminated,
                "truncated": truncated,
                "next_obs": seen,
            }
        )
        obs = env.reset()[0] if terminated or truncated else seen
    return found


def episodes_of(steps: Sequence[dict[str, Any]]) -> Iterator[tuple[float, int]]:
    """Return and length of each episode that ends."""
    total, length = 0.0, 0
    for step in steps:
        total, length = total + step["reward"], length + 1
        if step["terminated"] or step["truncated"]:
            yield total, length
            total, length = 0.0, 0


def advantages_of(steps: Sequence[dict[str, Any]], gamma: float, lambda_: float) -> list[float]:
    """Generalised advantages, by the definition."""
    found, following = [], 0.0
    for step in reversed(steps):
        ahead = 0.0 if step["terminated"] else gamma * valued(step["next_obs"])
        if step["terminated"] or step["truncated"]:
            following = 0.0
        following = step["reward"] + ahead - valued(step["obs"]) + gamma * lambda_ * following
        found.append(following)
    return found[::-1]


def where(leaves: Sequence[Any]) -> np.ndarray:
    """Observations by their two encoded leaves, as rows [number, episode, t, last]."""
    return np.concatenate([leaves[0], np.asarray(leaves[1])[..., None]], axis=-1)


def rows(steps: Sequence[dict[str, Any]], column: str) -> np.ndarray:
    """Observations of :func:`lived` in the form of :func:`where`."""
    return np.array([[*step[column]["where"], step[column]["last"]] for step in steps])
