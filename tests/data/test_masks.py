"""Masks from every place that an environment may put them: what is forbidden is never done."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace import DQN, PPO, SAC
from anyspace.data.collector import Collector
from anyspace.data.environments import EnvSpec
from anyspace.data.masks import InfoMasks
from anyspace.data.sources import make_source
from anyspace.data.vector import VectorSource
from anyspace.errors import ModelError, ObservationError, UnsupportedSpaceError
from anyspace.execution.evaluate import evaluate
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.spaces import ActionMasks
from tests.support.thinned import thinned

ACTIONS: dict[str, gym.Space[Any]] = {
    "discrete": spaces.Discrete(5, start=-2),
    "multidiscrete": spaces.MultiDiscrete([[3, 2], [4, 2]], start=[[1, 0], [0, -1]]),
    "multibinary": spaces.MultiBinary(4),
    "integer box": spaces.Box(np.array([0, -1]), np.array([2, 3]), dtype=np.int64),
    "tuple": spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 3]))),
    "dict": spaces.Dict(z=spaces.MultiBinary(2), a=spaces.Dict(x=spaces.Discrete(4), y=spaces.Discrete(2, start=7))),
}
SOURCES = ("observation", "nested observation", "method", "info")


def leaves(space: gym.Space[Any], action: Any) -> list[tuple[gym.Space[Any], Any]]:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        keys = space.spaces if isinstance(space, spaces.Dict) else range(len(space.spaces))
        return [pair for key in keys for pair in leaves(space[key], action[key])]
    return [(space, action)]


def components(space: gym.Space[Any], action: Any) -> list[tuple[int, int]]:
    """Each choice of one leaf as (number of options, the one that was taken), counted from 0."""
    if isinstance(space, spaces.Discrete):
        return [(int(space.n), int(action) - int(space.start))]
    if isinstance(space, spaces.MultiDiscrete):
        return list(zip(space.nvec.ravel().tolist(), (action - space.start).ravel().tolist(), strict=True))
    if isinstance(space, spaces.MultiBinary):
        return [(2, int(bit)) for bit in np.ravel(action)]
    if isinstance(space, spaces.Box) and space.dtype.kind != "f":
        return list(zip((space.high - space.low + 1).tolist(), (action - space.low).tolist(), strict=True))
    return []


class Masked(gym.Env[Any, Any]):
    """Allows each option by chance, at least one of each choice; a forbidden one is an error."""

    def __init__(self, action_space: gym.Space[Any], source: str, length: int = 7, empty_at: int | None = None):
        self.action_space, self.source, self.length, self.empty_at = action_space, source, length, empty_at
        self.counts = [n for leaf in leaves(action_space, action_space.sample()) for n, _ in components(*leaf)]
        state = spaces.Box(-1, 1, (3,), np.float32)
        self.observation_space = state
        if "observation" in source:
            self.observation_space = spaces.Dict(action_mask=self._mask_space(action_space), state=state)
        self.steps = 0

    def _mask_space(self, space: gym.Space[Any]) -> gym.Space[Any]:
        if self.source == "observation":
            return spaces.Box(0, 1, (sum(self.counts),), np.int8)
        if isinstance(space, spaces.Dict):
            # In an order of its own: parts are told by their names.
            return spaces.Dict({key: self._mask_space(child) for key, child in reversed(space.spaces.items())})
        if isinstance(space, spaces.Tuple):
            return spaces.Tuple([self._mask_space(child) for child in space.spaces])
        width = sum(n for n, _ in components(space, space.sample()))
        return spaces.MultiBinary(width) if width else spaces.Tuple(())

    def _draw(self) -> Any:
        self.allowed = [self.np_random.integers(0, 2, n).astype(np.int8) for n in self.counts]
        for part in self.allowed:
            part[self.np_random.integers(len(part))] = 1
        if self.steps == self.empty_at and self.t > 0:
            self.allowed[-1][:] = 0
        state = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        flat = np.concatenate(self.allowed)
        if self.source == "observation":
            return {"state": state, "action_mask": flat}, {}
        if self.source == "nested observation":
            return {"state": state, "action_mask": self._nested(self.action_space, iter(self.allowed))}, {}
        return state, {"action_mask": flat} if self.source == "info" else {}

    def _nested(self, space: gym.Space[Any], parts: Any) -> Any:
        if isinstance(space, spaces.Dict):
            return {key: self._nested(child, parts) for key, child in space.spaces.items()}
        if isinstance(space, spaces.Tuple):
            return tuple(self._nested(child, parts) for child in space.spaces)
        found = [next(parts) for _ in components(space, space.sample())]
        return np.concatenate(found) if found else ()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._draw()

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        taken = [choice for leaf in leaves(self.action_space, action) for _, choice in components(*leaf)]
        for part, choice in zip(self.allowed, taken, strict=True):
            if not part[choice] and part.any():
                raise AssertionError(f"{choice} of {part} was forbidden")
        self.t += 1
        self.steps += 1
        obs, info = self._draw()
        return obs, 1.0, self.t == self.length, False, info


class WithMethod(Masked):
    """As SB3-contrib's environments tell it."""

    def action_masks(self) -> np.ndarray:
        return np.concatenate(self.allowed).astype(bool)


def masked(space: str, source: str, **arguments: Any) -> Masked:
    kind = WithMethod if source == "method" else Masked
    return kind(ACTIONS[space], source, **arguments)


@pytest.mark.spec(159, 162)
@thinned(2, space=ACTIONS, source=SOURCES)
@pytest.mark.parametrize("steps", [1_000, pytest.param(10_000, marks=pytest.mark.fuzz)])
def test_what_is_forbidden_is_never_done(space: str, source: str, steps: int) -> None:
    algorithm = PPO(
        lambda: masked(space, source),
        num_envs_per_env_runner=20,
        train_batch_size=steps // 2,
        minibatch_size=steps // 4,
        num_epochs=1,
        entropy_coeff=0.01,
        model={"fcnet_hiddens": [16]},
        seed=0,
        preset="none",
    )
    for _ in range(2):
        learner = algorithm.train()["learner"]
        assert np.isfinite([value for name, value in learner.items() if name != "model"]).all()
    assert algorithm.timesteps_total == steps
    algorithm.evaluate(steps // 500)
    algorithm.evaluate(steps // 500, explore=True)


@pytest.mark.spec(159)
@pytest.mark.parametrize("kind", [DQN, SAC])
def test_what_is_forbidden_is_never_done_by_those_who_replay(kind: type[DQN] | type[SAC]) -> None:
    algorithm = kind(
        lambda: masked("multidiscrete", "method"),
        num_envs_per_env_runner=20,
        train_batch_size=8,
        replay_capacity=500,
        num_steps_sampled_before_learning_starts=100,
        min_sample_timesteps_per_iteration=400,
        training_intensity=0.5,
        model={"fcnet_hiddens": [16]},
        seed=0,
        preset="none",
    )
    learner = algorithm.train()["learner"]
    assert np.isfinite([value for value in learner.values() if isinstance(value, float)]).all()
    algorithm.evaluate(2)
    algorithm.evaluate(2, explore=True)


def policy_for(env: Masked, **config: Any) -> Policy:
    return Policy(env.observation_space, env.action_space, PolicyConfig(**config), TorchRuntime("cpu"))


@pytest.mark.spec(164)
@pytest.mark.parametrize("space", ACTIONS)
def test_divergence_entropy_and_gradients_are_finite_where_masks_are_equal(space: str) -> None:
    env = masked(space, "info")
    acting = policy_for(env)
    masks = torch.as_tensor(np.stack([env.reset(seed=seed)[1]["action_mask"] for seed in range(64)]) != 0)
    generator = torch.Generator().manual_seed(0)
    old_inputs = 3 * torch.randn(64, acting.num_outputs, generator=generator)
    inputs = (old_inputs + 0.1 * torch.randn(64, acting.num_outputs, generator=generator)).requires_grad_()
    old, new = acting.distribution(old_inputs, masks), acting.distribution(inputs, masks)
    actions = old.sample(generator)
    for name, values in {"logp": new.logp(actions), "entropy": new.entropy(), "kl": old.kl(new)}.items():
        (gradient,) = torch.autograd.grad(values.sum(), inputs, retain_graph=True)
        assert torch.isfinite(values).all(), name
        assert torch.isfinite(gradient).all(), name
        assert gradient.any(), name
        if acting.num_outputs == acting.masking.width:
            assert not gradient[~masks].any(), name
    assert (old.kl(new) > -1e-6).all()


@pytest.mark.parametrize("source", ["observation", "info"])
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_masks_are_kept_with_their_observations(mode: AutoresetMode, source: str) -> None:
    envs = [masked("tuple", source, length=length) for length in (3, 5)]
    acting = policy_for(envs[0])
    vector = SyncVectorEnv([lambda env=env: env for env in envs], autoreset_mode=mode)  # type: ignore[misc]
    collector = Collector(VectorSource(vector), acting, seed=0)
    for trajectory in (collector.gather(6), collector.gather(4)):
        steps, width = trajectory.valid.shape
        mask = acting.masking.find(trajectory.obs)
        assert mask is not None
        assert mask.shape == (steps + 1, width, ActionMasks(ACTIONS["tuple"]).width)
        first, _, pair = trajectory.actions
        for t, b in np.argwhere(trajectory.valid):
            assert mask[t, b, first[t, b]]
            assert mask[t, b, 3 + pair[t, b, 0]]
            assert mask[t, b, 5 + pair[t, b, 1]]
        rows = acting.masking.find(trajectory.all_obs())
        assert rows is not None
        assert len(rows) == (steps + 1) * width + len(trajectory.final_obs.t)
        np.testing.assert_array_equal(rows[: (steps + 1) * width], mask.reshape(-1, mask.shape[-1]))


@pytest.mark.parametrize("source", ["observation", "method", "info"])
def test_a_mask_that_allows_nothing_names_step_and_environment(source: str) -> None:
    envs = iter([masked("tuple", source), masked("tuple", source, empty_at=4), masked("tuple", source)])
    algorithm = PPO(
        lambda: next(envs), num_envs_per_env_runner=3, train_batch_size=30, minibatch_size=10, seed=0, preset="none"
    )
    with pytest.raises(ObservationError, match="step 4, environment 1: the mask allows no action at all"):
        algorithm.train()


def test_an_empty_mask_of_a_last_observation_is_nobodys_business() -> None:
    envs = iter([masked("discrete", "observation", length=4, empty_at=4)])
    algorithm = PPO(lambda: next(envs), train_batch_size=12, minibatch_size=6, num_epochs=1, seed=0, preset="none")
    assert np.isfinite(algorithm.train()["learner"]["policy_loss"])


def test_evaluation_names_an_empty_mask() -> None:
    env = masked("discrete", "observation", empty_at=2)
    vector = SyncVectorEnv([lambda: env], autoreset_mode=AutoresetMode.SAME_STEP)
    with pytest.raises(ObservationError, match="evaluation step 2, environment 0: the mask allows no action"):
        evaluate(policy_for(env), VectorSource(vector), 1, seed=0)


class Forgetful(Masked):
    """Gives a mask with the first observations only, or with later ones only."""

    def __init__(self, first: bool):
        super().__init__(ACTIONS["discrete"], "info")
        self.first = first

    def reset(self, **arguments: Any) -> Any:
        obs, info = super().reset(**arguments)
        if self.first:
            return obs, info
        for part in self.allowed:
            part[:] = 1
        return obs, {}

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated, truncated, {} if self.first else info


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (True, "step 1, environment 0: its info holds no 'action_mask', but masks come with every"),
        (False, r"step 1, infos\['action_mask'\] holds a mask, but the infos of reset\(\) held none"),
    ],
)
def test_masks_come_with_every_observation_or_with_none(first: bool, message: str) -> None:
    algorithm = PPO(lambda: Forgetful(first), train_batch_size=8, minibatch_size=8, seed=0, preset="none")
    with pytest.raises(ObservationError, match=message):
        algorithm.train()


def test_a_mask_of_the_wrong_width_in_an_info() -> None:
    class Wide(Masked):
        def reset(self, **arguments: Any) -> Any:
            return super().reset(**arguments)[0], {"action_mask": np.ones(6)}

    algorithm = PPO(
        lambda: Wide(ACTIONS["discrete"], "info"), train_batch_size=8, minibatch_size=8, seed=0, preset="none"
    )
    with pytest.raises(
        ObservationError, match=r"step 0, environment 0: info\['action_mask'\].*Discrete\(5, start=-2\)"
    ):
        algorithm.train()


@pytest.mark.parametrize(
    ("infos", "message"),
    [
        ({"action_mask": np.eye(1, 5)}, r"infos\['action_mask'\]: expected masks of 2 environments, got 1\."),
        ({"action_mask": np.eye(3, 5)}, r"infos\['action_mask'\]: expected masks of 2 environments, got 3\."),
        (
            {"action_mask": np.eye(2, 5), "_action_mask": np.ones(1, np.bool_)},
            r"infos\['_action_mask'\]: expected booleans \[2\], who gave a mask, got shape \(1,\)\.",
        ),
    ],
    ids=["one", "three", "who"],
)
def test_each_environment_has_a_mask(infos: Any, message: str) -> None:
    """NumPy would take one mask for all the environments."""
    source = make_source(EnvSpec(lambda: masked("discrete", "info")), 2)
    masks = InfoMasks(policy_for(masked("discrete", "info")).masking, source)
    assert masks.first({"action_mask": np.eye(2, 5)})[0].shape == (2, 5)
    assert masks.first({"action_mask": None})[0].all()
    with pytest.raises(ObservationError, match=f"^{message}"):
        masks.first(infos)


def test_a_mask_of_the_wrong_width_in_the_observation_is_refused_before_anything_runs() -> None:
    env = masked("discrete", "observation")
    env.observation_space = spaces.Dict(action_mask=spaces.MultiBinary(4))
    with pytest.raises(UnsupportedSpaceError, match=r'obs\["action_mask"\]: it holds 4 values.*Discrete.*has 5'):
        policy_for(env)
    assert policy_for(env, action_mask_key=None).masking.positions == []


def test_the_name_of_the_mask_is_configurable() -> None:
    env = masked("discrete", "observation")
    env.observation_space = spaces.Dict(legal=spaces.MultiBinary(5), state=spaces.Discrete(2))
    acting = policy_for(env, action_mask_key="legal")
    for number in range(5):
        legal = np.eye(5, dtype=np.int8)[number]
        assert acting.compute_single_action({"legal": legal, "state": 0}, explore=True) == number - 2


def test_a_single_action_heeds_masks_of_observation_info_and_argument() -> None:
    env = masked("discrete", "info")
    acting = policy_for(env)
    state = np.zeros(3, np.float32)
    for number in range(5):
        only = np.eye(5, dtype=np.int8)[number]
        for explore in (True, False):
            assert acting.compute_single_action(state, info={"action_mask": only}, explore=explore) == number - 2
            assert acting.compute_single_action(state, mask=only, explore=explore) == number - 2
        both = acting.compute_actions(np.zeros((2, 3), np.float32), mask=[only, only], explore=True)
        assert both.tolist() == [number - 2] * 2
    with pytest.raises(ObservationError, match="mask allows no action"):
        acting.compute_single_action(state, mask=np.zeros(5))
    with pytest.raises(ValueError, match="mask"):
        acting.compute_single_action(state, mask=np.zeros(4))
    observed = masked("discrete", "observation")
    seeing = policy_for(observed)
    obs = {"state": state, "action_mask": np.eye(5, dtype=np.int8)[3]}
    assert seeing.compute_single_action(obs) == 1
    assert seeing.compute_single_action(obs, mask=np.eye(5)[0]) == -2


def test_nobody_to_heed_a_mask_is_an_error_before_training() -> None:
    from anyspace.distributions import Categorical

    class Unmasked(Categorical):
        def __init__(self, inputs: Any, model: Any = None):
            super().__init__(inputs, model)

    settings: dict[str, Any] = {"model": {"custom_action_dist": Unmasked}, "train_batch_size": 8, "minibatch_size": 8}
    with pytest.raises(ModelError, match="a mask came, but Unmasked takes no `mask`"):
        PPO(lambda: masked("discrete", "observation"), config=settings, preset="none")
    with pytest.raises(ModelError, match="a mask came, but Unmasked takes no `mask`"):
        PPO(lambda: masked("discrete", "info"), config=settings, preset="none").train()
