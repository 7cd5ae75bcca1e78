"""Small environments that behave exactly as they are told. They import nothing from anyspace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

INF = float("inf")
ENDS = ((3, "terminated"), (1, "truncated"), (4, "truncated"), (2, "terminated"))


class Script(gym.Env[Any, Any]):
    """Episodes of told lengths, where every observation and reward says which it is.

    Observed are ``where`` = [number, episode, t] and the ``last`` action; a step earns
    ``100 episode + 10 t + number + action / 2``. Its infos are ``t``, and ``is_success`` at an episode's end;
    a reset's infos are another ``t`` (-1000) and ``fresh``.

    Args:
        number: tells environments apart.
        ends: length of each episode and how it ends; begun again after the last one.
        in_place: write every observation into the same arrays.
    """

    observation_space = spaces.Dict([("where", spaces.Box(-INF, INF, (3,))), ("last", spaces.Discrete(2))])
    action_space = spaces.Discrete(2)

    def __init__(self, number: int = 0, ends: Sequence[tuple[int, str]] = ENDS, in_place: bool = False):
        self.number, self.ends, self.in_place = number, ends, in_place
        self.episode, self.t = -1, 0
        self._where = np.zeros(3, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._seen(0), {"t": -1000, "fresh": 1.0}

    def step(self, action: Any) -> Any:
        reward = 100 * self.episode + 10 * self.t + self.number + action / 2
        info: dict[str, Any] = {"t": self.t}
        self.t += 1
        length, how = self.ends[self.episode % len(self.ends)]
        over = self.t >= length
        if over:
            info["is_success"] = np.bool_(how == "terminated")
        return self._seen(action), reward, over and how == "terminated", over and how == "truncated", info

    def _seen(self, last: Any) -> dict[str, Any]:
        if not self.in_place:
            self._where = np.zeros(3, np.float32)
        self._where[:] = self.number, self.episode, self.t
        return {"where": self._where, "last": int(last)}


class ScriptVector(gym.vector.VectorEnv[Any, Any, Any]):
    """A vector environment of its own kind over :class:`Script`, as others write them.

    It writes into the same arrays at every step, hands final observations over stacked, gives no masks in its
    infos, and fills what a reset makes meaningless with ``garbage``.
    """

    def __init__(self, envs: Sequence[Script], mode: AutoresetMode, garbage: float = 1e6):
        self.envs, self.mode, self.garbage = envs, mode, garbage
        self.num_envs = len(envs)
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = Script.observation_space, Script.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._obs = {"where": np.zeros((self.num_envs, 3), np.float32), "last": np.zeros(self.num_envs, np.int64)}
        self._rewards = np.zeros(self.num_envs)
        self._terminated, self._truncated = np.zeros((2, self.num_envs), np.bool_)
        self._over = np.zeros(self.num_envs, np.bool_)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        mask = np.ones(self.num_envs, np.bool_) if options is None else options["reset_mask"]
        for b in np.flatnonzero(mask):
            self._write(self._obs, b, self.envs[b].reset()[0])
        self._over[:] = False
        return self._obs, {}

    def step(self, actions: Any) -> Any:
        times = np.full(self.num_envs, self.garbage)
        final = {name: leaf.copy() for name, leaf in self._obs.items()}
        for b, env in enumerate(self.envs):
            if self.mode is AutoresetMode.NEXT_STEP and self._over[b]:
                obs, self._rewards[b], self._terminated[b], self._truncated[b] = env.reset()[0], self.garbage, 0, 0
            else:
                obs, self._rewards[b], self._terminated[b], self._truncated[b], info = env.step(actions[b])
                times[b] = info["t"]
            self._write(final, b, obs)
            self._over[b] = self._terminated[b] or self._truncated[b]
            if self.mode is AutoresetMode.SAME_STEP and self._over[b]:
                obs = env.reset()[0]
            self._write(self._obs, b, obs)
        infos = {"t": times, "final_obs": final} if self.mode is AutoresetMode.SAME_STEP else {"t": times}
        return self._obs, self._rewards, self._terminated, self._truncated, infos

    @staticmethod
    def _write(into: dict[str, Any], b: int, obs: dict[str, Any]) -> None:
        for name, leaf in into.items():
            leaf[b] = obs[name]


FINE: dict[str, Any] = {"near": np.array([0.25, 0.5], np.float32), "door": 3}
"""What :class:`Faulty` observes while all is well."""


class Faulty(gym.Env[Any, Any]):
    """Does one thing wrong, in its ``at``-th step (0 is the first reset) counted over all episodes.

    Args:
        at: when.
        obs: what to observe then, instead of a point of the space.
        reward: what to earn then.
        error: what to raise then.
        length: steps of an episode, after which it is truncated.
    """

    observation_space = spaces.Dict([("near", spaces.Box(0, 1, (2,))), ("door", spaces.Discrete(3, start=1))])
    action_space = spaces.Discrete(2)

    def __init__(
        self,
        at: int = -1,
        obs: Any = None,
        reward: float = 1.0,
        error: Exception | None = None,
        length: int = 1000,
    ):
        self.at, self.obs, self.reward, self.error, self.length = at, obs, reward, error, length
        self.steps, self.t = -1, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        self.steps = max(self.steps, 0)
        return (self._seen() if self.steps == 0 else FINE), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        self.t += 1
        reward = self.reward if self.steps == self.at else 1.0
        return self._seen(), reward, False, self.t >= self.length, {}

    def _seen(self) -> Any:
        if self.steps != self.at:
            return FINE
        if self.error is not None:
            raise self.error
        return FINE if self.obs is None else self.obs


class Dice(gym.Env[Any, Any]):
    """Episodes of 1 to 6 steps, as a seeded die says, that earn what another die says."""

    observation_space = spaces.Discrete(7)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.left = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 7))
        return self.left, {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        return self.left, float(self.np_random.integers(1, 7)), self.left == 0, False, {}


class Remembers(gym.Env[Any, Any]):
    """Remembers the actions it was given; its only observation is 0.

    Args:
        action_space: from what the actions are.
        length: steps of an episode.
    """

    observation_space = spaces.Box(-1, 1, (1,))

    def __init__(self, action_space: gym.Space[Any], length: int = 5):
        self.action_space = action_space
        self.length, self.t = length, 0
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.actions.append(action)
        self.t += 1
        return np.zeros(1, np.float32), 0.0, False, self.t >= self.length, {}


class Drawn(gym.Env[Any, Any]):
    """Draws a dot that moves by a pixel each step; episodes of four steps."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 50}  # type: ignore[misc]
    observation_space = spaces.Discrete(5)
    action_space = spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode
        self.t = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.t, {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.t, 1.0, self.t == 4, False, {}

    def render(self) -> Any:
        picture = np.zeros((64, 97, 3), np.uint8)
        picture[:, self.t] = 255
        return picture


class Samples(gym.Env[Any, Any]):
    """Observes random points of a space, whatever is done; episodes of two steps."""

    def __init__(self, observation_space: gym.Space[Any], action_space: gym.Space[Any]):
        self.observation_space, self.action_space = observation_space, action_space
        self.t = 0
        self.seen: list[Any] = []
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self._sample(), {}

    def step(self, action: Any) -> Any:
        self.actions.append(action)
        self.t += 1
        return self._sample(), 1.0, False, self.t == 2, {}

    def _sample(self) -> Any:
        self.seen.append(self.observation_space.sample())
        return self.seen[-1]
