"""Environments whose values or best returns are known exactly. Of anyspace they know the Repeated space alone."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv

from anyspace.spaces import Repeated


class Endless(gym.Env[Any, Any]):
    """Reward 1 for ever, one state, cut after ``horizon`` steps: V = 1 / (1 - gamma) whatever is done."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, horizon: int = 20):
        self.horizon = horizon
        self.t = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.ones(1, np.float32), 1.0, False, self.t >= self.horizon, {}


class Countdown(gym.Env[Any, Any]):
    """Reward 1 for ``horizon`` steps, then termination; the observation is the number of steps taken."""

    action_space = spaces.Discrete(2)

    def __init__(self, horizon: int = 5):
        self.horizon = horizon
        self.observation_space = spaces.Discrete(horizon + 1)
        self.t = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return 0, {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.t, 1.0, self.t >= self.horizon, False, {}


class Lock(gym.Env[Any, Any]):
    """A lock with a nested observation of an index, a vector and a tuple, every leaf of which is needed.

    The right action is ``turn = (dial + [vector[0] > 0]) mod 3`` and ``flip = bit xor [sign > 0]``. Each right
    one earns 1 and moves the dial on; at dial 3 it earns 3 and the dial springs back to 0. A wrong one earns
    nothing and leaves the dial where it is. An episode has 24 steps.
    """

    HORIZON = 24

    observation_space = spaces.Dict(
        [
            ("vector", spaces.Box(-1, 1, (2,), np.float32)),
            ("dial", spaces.Discrete(4, start=1)),
            ("inner", spaces.Tuple([spaces.Discrete(2), spaces.Dict({"sign": spaces.Box(-1, 1, (), np.float32)})])),
        ]
    )
    action_space = spaces.Dict({"turn": spaces.Discrete(3, start=-1), "flip": spaces.MultiDiscrete([2])})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t, self.dial = 0, 0
        return self._draw(), {}

    def _draw(self) -> Any:
        self.vector = self.np_random.uniform(0.1, 1, 2) * self.np_random.choice([-1, 1], 2)
        self.bit = int(self.np_random.integers(2))
        self.sign = float(self.np_random.choice([-1, 1]))
        return {
            "dial": self.dial + 1,
            "inner": (self.bit, {"sign": np.float32(self.sign)}),
            "vector": self.vector.astype(np.float32),
        }

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        turn = (self.dial + int(self.vector[0] > 0)) % 3
        flip = self.bit ^ int(self.sign > 0)
        right = action["turn"] + 1 == turn and action["flip"][0] == flip
        reward = 0.0
        if right:
            reward = 3.0 if self.dial == 3 else 1.0
            self.dial = (self.dial + 1) % 4
        self.t += 1
        return self._draw(), reward, False, self.t >= self.HORIZON, {}

    @classmethod
    def best_return(cls) -> float:
        """Return the optimum by dynamic programming over (steps left, dial)."""
        value = np.zeros(4)
        for _ in range(cls.HORIZON):
            right = [(3.0 if dial == 3 else 1.0) + value[(dial + 1) % 4] for dial in range(4)]
            value = np.maximum(right, value)
        return float(value[0])


class Raid(gym.Env[Any, Any]):
    """A list of monsters, each with a list of things: strike the one that is weak and carries no shield.

    Right is its place in the list or, where there is none such, ``MONSTERS`` (to wait). Each right action earns 1.
    An episode has 24 steps, each with new monsters.
    """

    HORIZON, MONSTERS, SHIELD = 24, 4, 2

    observation_space = spaces.Dict(
        monsters=Repeated(
            spaces.Dict(strength=spaces.Box(0, 1, (1,), np.float32), things=Repeated(spaces.Discrete(3), 2)), MONSTERS
        )
    )
    action_space = spaces.Discrete(MONSTERS + 1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._draw(), {}

    def _draw(self) -> Any:
        count = int(self.np_random.integers(2, self.MONSTERS + 1))
        self.right = int(self.np_random.integers(count)) if self.np_random.random() < 0.8 else self.MONSTERS
        return {"monsters": [self._monster(place == self.right) for place in range(count)]}

    def _monster(self, right: bool) -> Any:
        weak = right or bool(self.np_random.integers(2))
        things = self.np_random.integers(0, 2, self.np_random.integers(3)).tolist()
        if weak and not right:  # a weak one that is not to be struck has a shield
            things = things[:1]
            things.insert(int(self.np_random.integers(len(things) + 1)), self.SHIELD)
        strength = self.np_random.uniform(0, 0.4) if weak else self.np_random.uniform(0.6, 1)
        return {"strength": np.array([strength], np.float32), "things": things}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        reward = float(action == self.right)
        self.t += 1
        return self._draw(), reward, False, self.t >= self.HORIZON, {}

    @classmethod
    def best_return(cls) -> float:
        """Return the optimum: nothing carries over from step to step, and one action of each is right."""
        return float(cls.HORIZON)


class Harvest(gym.Env[Any, Any]):
    """Six fields, three of them open: reap an open one whose crop is in season; a closed one is an error.

    The observation is a Dict of a mask and the rest. Each right action earns 1. An episode has 24 steps, each
    with new fields.
    """

    HORIZON, FIELDS = 24, 6

    observation_space = spaces.Dict(
        action_mask=spaces.Box(0, 1, (FIELDS,), np.int8),
        observations=spaces.Dict(crops=spaces.MultiBinary(FIELDS), season=spaces.Discrete(2)),
    )
    action_space = spaces.Discrete(FIELDS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._draw(), {}

    def _draw(self) -> Any:
        self.season = int(self.np_random.integers(2))
        self.crops = self.np_random.integers(0, 2, self.FIELDS).astype(np.int8)
        opened = self.np_random.permutation(self.FIELDS)[:3]
        self.crops[opened[0]] = self.season
        self.crops[opened[1]] = 1 - self.season
        self.mask = np.isin(np.arange(self.FIELDS), opened).astype(np.int8)
        return {"action_mask": self.mask, "observations": {"crops": self.crops, "season": self.season}}

    def step(self, action: Any) -> Any:
        if not self.mask[action]:
            raise ValueError(f"field {action} is closed")
        reward = float(self.crops[action] == self.season)
        self.t += 1
        return self._draw(), reward, False, self.t >= self.HORIZON, {}

    @classmethod
    def best_return(cls) -> float:
        """Return the optimum: nothing carries over from step to step, and each has a right action."""
        return float(cls.HORIZON)


class Echo(gym.Env[Any, Any]):
    """Say what is shown, one of 20; ten of the wrong answers are forbidden, drawn anew in each step.

    The mask is in the observation. Each right answer earns 1. An episode has 100 steps.
    """

    OPTIONS, HORIZON = 20, 100

    observation_space = spaces.Dict(action_mask=spaces.MultiBinary(OPTIONS), shown=spaces.Discrete(OPTIONS))
    action_space = spaces.Discrete(OPTIONS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._draw(), {}

    def _draw(self) -> Any:
        self.right = int(self.np_random.integers(self.OPTIONS))
        self.mask = np.ones(self.OPTIONS, np.int8)
        wrong = np.delete(np.arange(self.OPTIONS), self.right)
        self.mask[self.np_random.choice(wrong, self.OPTIONS // 2, replace=False)] = 0
        return {"action_mask": self.mask.copy(), "shown": self.right}

    def step(self, action: Any) -> Any:
        if not self.mask[action]:
            raise ValueError(f"answer {action} is forbidden")
        reward = float(action == self.right)
        self.t += 1
        return self._draw(), reward, False, self.t >= self.HORIZON, {}


class GridWorld(gym.Env[Any, Any]):
    """A picture of an agent and a goal, which wanders: step nearer to it.

    There are ``SIDE`` x ``SIDE`` cells within a frame. A step earns by how much it brings the agent nearer to where the
    goal was: 1, 0 at the frame, or -1. Afterwards a goal that was reached is somewhere else, and another one moves by a
    cell at random in half of the steps, though never onto the agent. An episode has 24 steps.
    """

    HORIZON, SIDE, PIXELS = 24, 5, 8
    MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))

    observation_space = spaces.Box(0, 255, (SIDE * PIXELS + 2, SIDE * PIXELS + 2, 3), np.uint8)
    action_space = spaces.Discrete(len(MOVES))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        self.agent, self.goal = (int(cell) for cell in self.np_random.permutation(self.SIDE**2)[:2])
        return self._picture(), {}

    def _picture(self) -> Any:
        cells = np.zeros((self.SIDE**2, 3), np.uint8)
        cells[self.goal] = 0, 255, 0
        cells[self.agent] = 255, 0, 0
        picture = cells.reshape(self.SIDE, self.SIDE, 3).repeat(self.PIXELS, 0).repeat(self.PIXELS, 1)
        return np.pad(picture, ((1, 1), (1, 1), (0, 0)), constant_values=128)

    def step(self, action: Any) -> Any:
        before = self.distance(self.agent, self.goal)
        self.agent = self.moved(self.agent, int(action))
        reward = float(before - self.distance(self.agent, self.goal))
        chances = self.wandering(self.agent, self.goal)
        self.goal = int(self.np_random.choice(len(chances), p=chances))
        self.t += 1
        return self._picture(), reward, False, self.t >= self.HORIZON, {}

    @classmethod
    def distance(cls, cell: int, other: int) -> int:
        """Return how many steps there are between two cells."""
        return sum(abs(x - y) for x, y in zip(divmod(cell, cls.SIDE), divmod(other, cls.SIDE), strict=True))

    @classmethod
    def moved(cls, cell: int, action: int) -> int:
        """Return the cell after a move; the frame stops it."""
        row, column = (
            min(max(place + by, 0), cls.SIDE - 1)
            for place, by in zip(divmod(cell, cls.SIDE), cls.MOVES[action], strict=True)
        )
        return row * cls.SIDE + column

    @classmethod
    def wandering(cls, agent: int, goal: int) -> Any:
        """Return how likely the goal is in each cell next, once the agent has moved."""
        chances = np.zeros(cls.SIDE**2)
        if agent == goal:
            chances[np.arange(len(chances)) != agent] = 1 / (len(chances) - 1)
            return chances
        chances[goal] = 0.5
        for action in range(len(cls.MOVES)):
            to = cls.moved(goal, action)
            chances[goal if to == agent else to] += 0.5 / len(cls.MOVES)
        return chances

    @classmethod
    def best_return(cls) -> float:
        """Return the mean optimum over first pictures, by dynamic programming over (steps left, agent, goal)."""
        cells = range(cls.SIDE**2)
        chances = np.array([[cls.wandering(agent, goal) for goal in cells] for agent in cells])
        distance = np.array([[cls.distance(agent, goal) for goal in cells] for agent in cells])
        to = np.array([[cls.moved(agent, action) for agent in cells] for action in range(len(cls.MOVES))])
        value = np.zeros((len(cells), len(cells)))
        for _ in range(cls.HORIZON):
            after = (chances * value[:, None]).sum(axis=2)
            value = (distance - distance[to] + after[to]).max(axis=0)
        return float(value[~np.eye(len(cells), dtype=bool)].mean())


class ParametricCartPole(gym.Env[Any, Any]):
    """CartPole with parametric actions. Of ten slots two are open, one for each push; a closed one is an error.

    With ``embedded`` the slots are drawn anew for each observation, which tells their pushes by embeddings, zero in
    closed slots. Without, they stay what they are, and only the mask tells that they are open. An episode has at most
    200 steps, and each earns 1.
    """

    HORIZON, SLOTS = 200, 10
    EMBEDDINGS = np.random.default_rng(7).normal(size=(2, 2)).astype(np.float32)  # of a push to the left, to the right

    action_space = spaces.Discrete(SLOTS)

    def __init__(self, embedded: bool = True):
        self.embedded, self.cartpole = embedded, CartPoleEnv()
        parts = {"action_mask": spaces.Box(0, 1, (self.SLOTS,), np.int8), "cart": self.cartpole.observation_space}
        if embedded:
            parts["avail_actions"] = spaces.Box(-10, 10, (self.SLOTS, 2), np.float32)
        self.observation_space = spaces.Dict(parts)
        self.slots = np.array([7, 2])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        cart, _ = self.cartpole.reset(seed=int(self.np_random.integers(2**31)))
        return self._observed(cart), {}

    def _observed(self, cart: Any) -> Any:
        if self.embedded:
            self.slots = self.np_random.permutation(self.SLOTS)[:2]
        mask = np.zeros(self.SLOTS, np.int8)
        mask[self.slots] = 1
        if not self.embedded:
            return {"action_mask": mask, "cart": cart}
        embeddings = np.zeros((self.SLOTS, 2), np.float32)
        embeddings[self.slots] = self.EMBEDDINGS
        return {"action_mask": mask, "cart": cart, "avail_actions": embeddings}

    def step(self, action: Any) -> Any:
        pushes = np.flatnonzero(self.slots == action)
        if not len(pushes):
            raise ValueError(f"slot {action} is closed; open are {self.slots}")
        cart, reward, fallen, _, _ = self.cartpole.step(int(pushes[0]))
        self.t += 1
        return self._observed(cart), reward, fallen, self.t >= self.HORIZON, {}


class TMaze(gym.Env[Any, Any]):
    """A cue, a corridor, and a junction eight steps after the cue, at which to turn as it said.

    There are three in an episode. A right turn earns 1; elsewhere nothing matters. Without memory every junction looks
    alike: half of the turns are right.
    """

    DELAY, TRIALS = 8, 3
    HORIZON = TRIALS * (DELAY + 1)
    CORRIDOR, JUNCTION, CUE = 0, 1, 2

    observation_space = spaces.Discrete(4)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._observed(), {}

    def _observed(self) -> int:
        place = self.t % (self.DELAY + 1)
        if place == 0:
            self.cue = int(self.np_random.integers(2))
            return self.CUE + self.cue
        return self.JUNCTION if place == self.DELAY else self.CORRIDOR

    def step(self, action: Any) -> Any:
        reward = float(self.t % (self.DELAY + 1) == self.DELAY and action == self.cue)
        self.t += 1
        return self._observed(), reward, False, self.t >= self.HORIZON, {}

    @classmethod
    def best_return(cls) -> float:
        """Return the optimum: every turn can be right."""
        return float(cls.TRIALS)


class MaskedCartPole(gym.Env[Any, Any]):
    """CartPole without its velocities: they must be told from the positions of earlier steps."""

    observation_space = spaces.Box(np.float32([-4.8, -0.42]), np.float32([4.8, 0.42]))
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.cartpole = gym.make("CartPole-v1")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        obs, info = self.cartpole.reset(seed=seed)
        return obs[[0, 2]], info

    def step(self, action: Any) -> Any:
        obs, *rest = self.cartpole.step(action)
        return (obs[[0, 2]], *rest)


class Duet(gym.Env[Any, Any]):
    """Two voices sing a note each: 1 is earned if it is the same one, and not the pair of the step before.

    Nothing is observed that the voices could keep time by, so a policy is one distribution m over pairs, and a pair
    that is likely has likely just been sung: it has to be random, and the voices have to agree all the same. An episode
    has 24 steps.
    """

    HORIZON, NOTES = 24, 4

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Tuple([spaces.Discrete(NOTES), spaces.Discrete(NOTES, start=1)])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t, self.before = 0, None
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        pair = int(action[0]), int(action[1]) - 1
        reward = float(pair[0] == pair[1] and pair != self.before)
        self.before = pair
        self.t += 1
        return np.ones(1, np.float32), reward, False, self.t >= self.HORIZON, {}

    @classmethod
    def best_return(cls) -> float:
        """Return the optimum of such policies.

        The first step earns the sum of m(v, v) at most, each other one the sum of m(v, v) (1 - m(v, v)): both are
        largest where the notes share everything evenly.
        """
        return 1 + (cls.HORIZON - 1) * (1 - 1 / cls.NOTES)

    @classmethod
    def best_independent_return(cls) -> float:
        """Return a bound for voices that draw their notes independently, by probabilities p and q.

        With s = sqrt(p q) of each note, the sum of s is 1 at most (Cauchy, Schwarz), and a step earns the sum of
        s^2 (1 - s^2) = s (s - s^3). In brackets is 2 / sqrt(27) at most, at s = 1 / sqrt(3); so that is the bound of
        the step.
        """
        return 1 + (cls.HORIZON - 1) * 2 / 27**0.5


class Crane(gym.Env[Any, Any]):
    """Pick the right hook of three and lower it to the depth that is shown; nothing counts without both.

    The right hook is ``(load + floor) mod 3``. It earns ``1 - |depth - wanted|``, three times that on floor 3, and
    takes the crane up, from floor 3 to 0. A wrong hook earns nothing and leaves the crane where it is. An episode has
    24 steps, each with a new load.
    """

    HORIZON = 24

    observation_space = spaces.Dict(
        {
            "floor": spaces.Discrete(4),
            "load": spaces.Discrete(3, start=1),
            "wanted": spaces.Box(-1, 1, (1,), np.float32),
        }
    )
    action_space = spaces.Tuple([spaces.Discrete(3, start=-1), spaces.Box(-1, 1, (1,), np.float32)])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t, self.floor = 0, 0
        return self._draw(), {}

    def _draw(self) -> Any:
        self.load, self.wanted = int(self.np_random.integers(3)), self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return {"floor": self.floor, "load": self.load + 1, "wanted": self.wanted}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        reward = 0.0
        if int(action[0]) + 1 == (self.load + self.floor) % 3:
            reward = (3.0 if self.floor == 3 else 1.0) * max(0.0, 1.0 - float(abs(action[1] - self.wanted)[0]))
            self.floor = (self.floor + 1) % 4
        self.t += 1
        return self._draw(), reward, False, self.t >= self.HORIZON, {}

    @classmethod
    def best_return(cls) -> float:
        """Return the optimum by dynamic programming over (steps left, floor)."""
        value = np.zeros(4)
        for _ in range(cls.HORIZON):
            right = [(3.0 if floor == 3 else 1.0) + value[(floor + 1) % 4] for floor in range(4)]
            value = np.maximum(right, value)
        return float(value[0])
