"""DQN: its losses against a NumPy reference, its identities, its options in pairs, its keys."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from anyspace import DQN, PPO, tree
from anyspace.algorithms.dqn import DQNConfig
from anyspace.algorithms.off_policy import OffPolicyConfig
from anyspace.algorithms.presets import general_preset
from anyspace.config import paths
from anyspace.errors import ConfigError, UnsupportedSpaceError
from anyspace.policy.batch import Batch
from anyspace.policy.exploration import EpsilonGreedy
from tests.support.batches import unrolled
from tests.support.hashes import VECTOR, Sampled, digest_of, sampled
from tests.support.keys import fingerprint, nested

THREE, PAIR = spaces.Discrete(3), spaces.MultiDiscrete([2, 3])
NESTED = spaces.Tuple(
    [spaces.Discrete(2, start=1), spaces.Dict(bits=spaces.MultiBinary(2), whole=spaces.Box(-1, 1, (1,), np.int64))]
)
WIDTHS = {"three": [3], "pair": [2, 3], "nested": [2, 2, 2, 3]}
SPACES: dict[str, gym.Space[Any]] = {"three": THREE, "pair": PAIR, "nested": NESTED}

TINY: dict[str, Any] = {
    "seed": 1,
    "num_envs_per_env_runner": 2,
    "train_batch_size": 4,
    "min_sample_timesteps_per_iteration": 20,
    "num_steps_sampled_before_learning_starts": 10,
    "replay_capacity": 100,
    "hiddens": [5],
    "model.fcnet_hiddens": [4],
}
MEMORIES: dict[str, dict[str, Any]] = {
    "use_lstm": {"model.use_lstm": True, "model.max_seq_len": 3, "model.lstm_cell_size": 4},
    "use_gru": {"model.use_gru": True, "model.max_seq_len": 3, "model.lstm_cell_size": 4},
    "use_attention": {"model.use_attention": True, "model.max_seq_len": 3},
}


class Choosing(Sampled):
    """As `Sampled`, with a mask of each choice in the infos: at least one option of each is allowed."""

    def __init__(self, action_space: gym.Space[Any], widths: list[int], masked: bool = True):
        super().__init__(VECTOR, action_space)
        self.widths, self.is_masked = widths, masked

    def reset(self, **options: Any) -> Any:
        return super().reset(**options)[0], self._infos()

    def step(self, action: Any) -> Any:
        chosen = np.concatenate([np.ravel(part) for part in _leaves(action)])
        starts = np.cumsum([0, *self.widths])[:-1]
        offsets = [0] * len(chosen) if len(self.widths) != 4 else [1, 0, 0, -1]
        assert all(
            self.mask[start + value - offset] for start, value, offset in zip(starts, chosen, offsets, strict=True)
        )
        obs, _, terminated, truncated, _ = super().step(0)
        return obs, float(chosen.sum()), terminated, truncated, self._infos()

    def _infos(self) -> Any:
        masks = [self.np_random.random(width) < 0.5 for width in self.widths]
        for mask in masks:
            mask[self.np_random.integers(len(mask))] = True
        self.mask = np.concatenate(masks) | (not self.is_masked)
        return {"action_mask": self.mask} if self.is_masked else {}


def _leaves(action: Any) -> list[Any]:
    if isinstance(action, dict):
        return [leaf for part in action.values() for leaf in _leaves(part)]
    return [leaf for part in action for leaf in _leaves(part)] if isinstance(action, tuple) else [action]


CHOOSING = sampled(VECTOR, THREE)


def make(env: Any = CHOOSING, **settings: Any) -> DQN:
    return DQN(env, nested({**TINY, **settings}), preset="none")


def quiet(action_space: gym.Space[Any]) -> Callable[[], gym.Env[Any, Any]]:
    return lambda: Quiet(action_space)


class Quiet(gym.Env[Any, Any]):
    """Spaces and no steps: for policies that are asked for losses alone."""

    observation_space = VECTOR

    def __init__(self, action_space: gym.Space[Any]):
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(5, np.float32), {}


# ------------------------------------------------------------------------------------ losses by hand


def softmax(x: Any) -> Any:
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def through(layers: Any, x: Any) -> Any:
    """Return what linear layers make of ``x``, with a relu after each but the last."""
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    for layer in linear:
        x = x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        x = x if layer is linear[-1] else np.maximum(x, 0)
    return x


def logits_by_hand(model: Any, obs: Any, mask: Any, widths: list[int]) -> Any:
    """Logits of each option [N, A, Z], forbidden ones out of means."""
    features = np.tanh(through(model.encoder, obs.astype(np.float64)))
    head = [model.logits] if model.advantage_head is None else model.advantage_head.layers
    advantages = through(head, features).reshape(len(obs), sum(widths), -1)
    if model.state_head is None:
        return advantages
    values, found = through(model.state_head.layers, features), advantages.copy()
    for part in _slices(widths):
        for row in range(len(obs)):
            allowed = np.ones(part.stop - part.start, bool) if mask is None else mask[row, part]
            mean = advantages[row, part][allowed].mean(axis=0)
            found[row, part] = values[row] + advantages[row, part] - mean
    return found


def _slices(widths: list[int]) -> list[slice]:
    stops = np.cumsum(widths)
    return [slice(stop - width, stop) for stop, width in zip(stops.tolist(), widths, strict=True)]


def loss_by_hand(algorithm: DQN, batch: dict[str, Any], widths: list[int]) -> tuple[float, Any]:
    """Return the loss and the error of each row, in float64, choice by choice and row by row."""
    config, z = (
        algorithm.config,
        np.linspace(algorithm.config.v_min, algorithm.config.v_max, algorithm.config.num_atoms),
    )
    mask, next_mask = batch.get("mask"), batch.get("next_mask")

    def means(logits: Any) -> Any:
        return logits[..., 0] if config.num_atoms == 1 else softmax(logits) @ z

    own = logits_by_hand(algorithm.policy.model, batch["obs"], mask, widths)
    target = logits_by_hand(algorithm.target.model, batch["next_obs"], next_mask, widths)
    chooser = (
        logits_by_hand(algorithm.policy.model, batch["next_obs"], next_mask, widths) if config.double_q else target
    )
    errors, total = [], 0.0
    for row in range(len(batch["obs"])):
        picked, following = [], []
        for part, choice in zip(_slices(widths), batch["choices"][row], strict=True):
            scores = means(chooser[row, part])
            if next_mask is not None:
                scores = np.where(next_mask[row, part], scores, -np.inf)
            picked.append(own[row, part][choice])
            following.append(target[row, part][scores.argmax()])
        y, discount = batch["returns"][row], batch["discounts"][row]
        if config.num_atoms == 1:
            error = np.mean([one[0] for one in picked]) - (y + discount * np.mean([one[0] for one in following]))
            size = abs(error)
            loss = 0.5 * error**2 if config.td_error_loss_fn == "mse" or size <= 1 else size - 0.5
        else:
            p, q, goal = (
                softmax(np.array(following)).mean(axis=0),
                softmax(np.array(picked)).mean(axis=0),
                np.zeros(len(z)),
            )
            for atom, probability in zip(z, p, strict=True):
                place = (np.clip(y + discount * atom, z[0], z[-1]) - z[0]) / (z[1] - z[0])
                low = min(int(place), len(z) - 2)
                goal[low] += probability * (low + 1 - place)
                goal[low + 1] += probability * (place - low)
            error = loss = -(goal * np.log(q)).sum()
        errors.append(error)
        total += batch["weights"][row] * loss
    return total / len(errors), np.array(errors)


def rows_of(algorithm: DQN, widths: list[int], *, masked: bool, count: int = 9) -> tuple[Batch, dict[str, Any]]:
    """Return random transitions, for the algorithm and for the reference."""
    rng, runtime = np.random.default_rng(0), algorithm.policy.runtime
    given: dict[str, Any] = {
        "obs": rng.uniform(-1, 1, (count, 5)).astype(np.float32),
        "next_obs": rng.uniform(-1, 1, (count, 5)).astype(np.float32),
        "returns": rng.normal(size=count).astype(np.float32),
        "discounts": rng.choice([0, 0.81, 0.9], count).astype(np.float32),
        "weights": rng.uniform(0.2, 1, count).astype(np.float32),
    }
    masks = {name: rng.random((count, sum(widths))) < 0.5 for name in ("mask", "next_mask")} if masked else {}
    given["choices"] = np.stack([rng.integers(width, size=count) for width in widths], axis=1)
    for name, mask in masks.items():
        for part, choice in zip(_slices(widths), given["choices"].T, strict=True):
            mask[np.arange(count), part.start + choice] = True
        given[name] = mask
    actions: Any = given["choices"][:, 0] if widths == [3] else given["choices"]
    if len(widths) == 4:
        actions = (given["choices"][:, 0], {"bits": given["choices"][:, 1:3], "whole": given["choices"][:, 3:]})
    batch = Batch(
        obs=[runtime.asarray(given["obs"])],
        next_obs=[runtime.asarray(given["next_obs"])],
        actions=tree.map_leaves(runtime.asarray, actions),
    )
    batch |= {name: runtime.asarray(given[name]) for name in ("returns", "discounts", "weights")}
    batch |= {
        column: runtime.asarray(given[name])
        for name, column in (("mask", "action_mask"), ("next_mask", "next_action_mask"))
        if masked
    }
    return batch, given


def shaken(algorithm: DQN) -> DQN:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for model in (algorithm.policy.model, algorithm.target.model):
            for parameter in model.parameters():
                parameter.add_(0.4 * torch.randn(parameter.shape, generator=generator))
    return algorithm


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize(
    "settings",
    [
        {"double_q": False, "dueling": False, "hiddens": []},
        {"double_q": True, "dueling": False},
        {"double_q": False, "dueling": True, "td_error_loss_fn": "mse"},
        {"double_q": True, "dueling": True, "hiddens": [5, 4]},
        {"num_atoms": 7, "v_min": -3.0, "v_max": 4.0, "double_q": False, "dueling": False},
        {"num_atoms": 7, "v_min": -3.0, "v_max": 4.0},
    ],
    ids=str,
)
def test_losses_are_those_of_the_reference(settings: dict[str, Any], name: str, masked: bool) -> None:
    with closing(make(quiet(SPACES[name]), **settings)) as algorithm:
        shaken(algorithm)
        batch, given = rows_of(algorithm, WIDTHS[name], masked=masked)
        found = algorithm.losses(algorithm.policy, batch)
        loss, errors = loss_by_hand(algorithm, given, WIDTHS[name])
        np.testing.assert_allclose(found.by_group["policy"].item(), loss, rtol=2e-5)
        np.testing.assert_allclose(found.rows["td_error"], errors, rtol=2e-4, atol=2e-5)
        found.by_group["policy"].backward()
        assert all(parameter.grad is None for parameter in algorithm.target.model.parameters())
        assert np.isfinite([float(value) for value in found.metrics.values()]).all()


class Fixed(gym.Env[Any, Any]):
    observation_space, action_space = spaces.Discrete(4), spaces.Discrete(2)


def test_known_errors_and_their_loss() -> None:
    """Q(s, a) = [1, 2], the best that follows is worth [3, 4], rewards [0.1, 0.2], and the second step terminates."""
    settings = {"hiddens": [], "dueling": False, "model.fcnet_hiddens": [], "gamma": 0.9}
    with closing(make(Fixed, **settings)) as algorithm:
        for model in (algorithm.policy.model, algorithm.target.model):
            with torch.no_grad():
                model.logits.weight.copy_(torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, -1.0], [4.0, 2.0]]).T)
                model.logits.bias.zero_()
        batch = Batch(
            obs=[torch.tensor([0, 1])],
            next_obs=[torch.tensor([2, 3])],
            actions=torch.tensor([0, 0]),
            returns=torch.tensor([0.1, 0.2]),
            discounts=torch.tensor([0.9, 0.0]),
            weights=torch.tensor([1.0, 0.5]),
        )
        found = algorithm.losses(algorithm.policy, batch)
        np.testing.assert_allclose(found.rows["td_error"], [-1.8, 1.8], rtol=1e-6)
        assert found.by_group["policy"].item() == pytest.approx(0.975)


def test_evenly_spread_distributions_cost_the_logarithm_of_their_atoms() -> None:
    with closing(make(quiet(THREE), num_atoms=5)) as algorithm:
        with torch.no_grad():
            for parameter in algorithm.policy.model.parameters():
                parameter.zero_()
        shaken_target = algorithm.target.model
        with torch.no_grad():
            for parameter in shaken_target.parameters():
                parameter.normal_(generator=torch.Generator().manual_seed(1))
        batch, _ = rows_of(algorithm, [3], masked=False)
        np.testing.assert_allclose(algorithm.losses(algorithm.policy, batch).rows["td_error"], np.log(5), rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"num_atoms": 5, "noisy": True}, MEMORIES["use_lstm"]], ids=str)
def test_one_choice_learns_what_a_discrete_action_does(settings: dict[str, Any]) -> None:
    found = []
    for space in (THREE, spaces.MultiDiscrete([3])):
        with closing(make(lambda space=space: Sampled(VECTOR, space), **settings)) as algorithm:
            algorithm.train()
            found.append(digest_of(algorithm.policy.weights()))
    assert found[0] == found[1]


def last_values(pipeline: Any, batch: Batch) -> torch.Tensor:
    """Return Q [1, A] after the last step."""
    return pipeline.model.q_values(pipeline.forward(batch, value=False)[0][-1:], noise=False)


@pytest.mark.parametrize("memory", ["use_lstm", "use_gru", "use_attention"])
def test_errors_of_sequences_are_those_of_single_steps(memory: str) -> None:
    """Unroll the model step by step from the stored states, and compare the errors of the rows that count."""
    settings = {**MEMORIES[memory], "n_step": 2, "replay_burn_in": 2}
    if memory == "use_attention":
        settings |= {"model.attention_dim": 4, "model.attention_head_dim": 4}
        settings |= {"model.attention_memory_inference": 3, "model.attention_memory_training": 3}
    with closing(make(**settings)) as algorithm:
        algorithm.train()
        shaken(algorithm)
        drawn = algorithm.replay.draw(6, np.random.default_rng(0))
        assert drawn is not None
        batch = algorithm._batch(algorithm.policy, drawn)
        assert batch is not None
        found = algorithm.losses(algorithm.policy, batch).rows["td_error"]
        counted = batch["counted"].bool()
        with torch.no_grad():
            ours, theirs = (
                unrolled(pipeline, batch, partial(last_values, pipeline))
                for pipeline in (algorithm.policy, algorithm.target)
            )
        later = torch.arange(len(counted)) + batch["ahead"]
        rows = torch.arange(len(counted))
        best = ours[later].argmax(1)
        expected = ours[rows, batch["actions"]] - (batch["returns"] + batch["discounts"] * theirs[later][rows, best])
        assert counted.sum() > 6
        torch.testing.assert_close(found[counted], expected[counted], rtol=1e-3, atol=1e-4)


# ----------------------------------------------------------------------------------------- options

OPTIONS: dict[str, dict[str, Any]] = {
    "plain targets": {"double_q": False},
    "no dueling": {"dueling": False},
    "distributions": {"num_atoms": 5},
    "noisy": {"noisy": True},
    "three steps": {"n_step": 3},
    "evenly drawn": {"prioritized_replay": False},
    "soft": {"exploration_config": {"type": "SoftQ", "temperature": 0.5}},
    "mask": {},
    "memory": {"replay_burn_in": 2},
    "branches": {},
}
ROWS = [set[str]()] + [
    {name for name, members in zip(OPTIONS, itertools.combinations(range(5), 3), strict=True) if row in members}
    for row in range(5)
]
"""Every two options meet in all four ways: each option is on in three of five rows, no two in the same three."""
REMEMBERING = [number for number, row in enumerate(ROWS) if "memory" in row]
MEMORY_OF = dict(zip(REMEMBERING, MEMORIES.values(), strict=True))
"""By number of the row: the keys of its memory."""


def test_the_rows_cover_all_pairs() -> None:
    for one, other in itertools.combinations(OPTIONS, 2):
        assert {(one in row, other in row) for row in ROWS} == set(itertools.product((False, True), repeat=2))


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[", ".join(sorted(row)) or "defaults" for row in ROWS])
def test_options_work_together(number: int) -> None:
    row = ROWS[number]
    settings = {key: value for name in row for key, value in OPTIONS[name].items()}
    settings |= {**MEMORY_OF.get(number, {}), "replay_capacity": 200}
    space, widths = (NESTED, WIDTHS["nested"]) if "branches" in row else (THREE, [3])

    def env() -> gym.Env[Any, Any]:
        return Choosing(space, widths, masked="mask" in row)

    with closing(make(env, **settings)) as algorithm:
        result = algorithm.train()["learner"]
        before = digest_of(algorithm.policy.weights())
        assert np.isfinite([value for value in result.values() if not isinstance(value, dict)]).all()
        assert result["gradient_steps"] >= 1
        algorithm.train()
        assert digest_of(algorithm.policy.weights()) != before
        algorithm.evaluate(1)


@pytest.mark.spec(163)
@pytest.mark.parametrize("settings", [{}, {"num_atoms": 5}, {"dueling": False}, MEMORIES["use_gru"]], ids=str)
def test_values_are_finite_where_actions_are_allowed(settings: dict[str, Any]) -> None:
    with closing(make(lambda: Choosing(PAIR, [2, 3]), **settings)) as algorithm:
        algorithm.train()
        policy = algorithm.policy
        mask = np.array([[1, 0, 0, 1, 1], [0, 1, 0, 0, 1]], bool)
        with policy.acting() as act:
            leaves = [np.zeros((2, 5), np.float32), mask]
            acted = act(leaves, explore=False)
            assert act.network.twin is not None
            history = None if not policy.views.depth else policy_history(policy, leaves)
            inputs, _ = act.network.twin(act.inputs.of(leaves[:1], mask, {}, False), [] if history is None else history)
        assert np.isfinite(inputs[mask]).all()
        assert (inputs[~mask] == -np.inf).all()
        assert all(mask[row, choice] for row, choice in enumerate(np.asarray(acted.raw)[:, 0]))


def policy_history(policy: Any, leaves: Any) -> Any:
    from anyspace.policy.history import History

    return History.before(policy.views, leaves[:1]).states(own=False)


# ----------------------------------------------------------------------------------------- acting


def test_noise_is_for_exploring_alone() -> None:
    with closing(make(noisy=True, sigma0=5.0)) as algorithm:
        algorithm.train()
        policy, obs = algorithm.policy, np.random.default_rng(0).uniform(-1, 1, (200, 5)).astype(np.float32)
        assert policy.exploration.epsilon == 0
        np.testing.assert_array_equal(policy.compute_actions(obs), policy.compute_actions(obs))
        explored = [policy.compute_actions(obs, explore=True) for _ in range(4)]
        assert any((explored[0] != other).any() for other in explored[1:])


@pytest.mark.parametrize("preset", ["none", "discrete"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, [0, 0]), ({"final_epsilon": 0.1}, [0.1, 0.1]), ({"initial_epsilon": 0.5}, [0.5, 0])],
    ids=str,
)
def test_noise_takes_the_place_of_epsilon_but_for_what_is_given(
    preset: str, given: dict[str, float], expected: list[float]
) -> None:
    settings = {**TINY, "noisy": True, "exploration_config": given}
    with closing(DQN(quiet(THREE), nested(settings), preset=preset)) as algorithm:
        found = []
        for timestep in (0, 20_000):
            algorithm.policy.at(timestep)
            found.append(algorithm.policy.exploration.epsilon)
    assert found == expected


def test_a_seed_decides_and_evaluating_changes_nothing() -> None:
    def trained(*, interrupted: bool) -> str:
        with closing(make(noisy=True, num_atoms=5)) as algorithm:
            for _ in range(2):
                algorithm.train()
                if interrupted:
                    algorithm.evaluate(2, explore=True)
                    algorithm.compute_single_action(np.zeros(5, np.float32), explore=True)
            return digest_of(algorithm.policy.state())

    assert trained(interrupted=False) == trained(interrupted=True) == trained(interrupted=False)


def test_a_checkpoint_acts_as_it_was_saved(tmp_path: Any) -> None:
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 5)).astype(np.float32)
    with closing(DQN(Quiet, nested({**TINY, "env_config": {"action_space": PAIR}}), preset="none")) as algorithm:
        shaken(algorithm).save(tmp_path / "saved")
        actions = algorithm.compute_actions(obs)
        target = digest_of(algorithm.target.state())
    loaded = DQN.load(tmp_path / "saved", env=quiet(PAIR), env_config={})
    assert isinstance(loaded, DQN)
    np.testing.assert_array_equal(loaded.compute_actions(obs), actions)
    assert digest_of(loaded.target.state()) == target


# ------------------------------------------------------------------------------------------ keys

ATOMS = {"num_atoms": 5}
SAMPLING = {"exploration_config": {"type": "StochasticSampling"}}
EFFECTS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "double_q": ({"lr": 1e-2, "target_network_update_freq": 10}, True, False),
    "dueling": ({}, True, False),
    "hiddens": ({}, [5], [4]),
    "num_atoms": ({}, 1, 5),
    "v_min": (ATOMS, -10.0, -2.0),
    "v_max": (ATOMS, 10.0, 2.0),
    "noisy": ({}, False, True),
    "sigma0": ({"noisy": True}, 0.5, 1.0),
    "td_error_loss_fn": ({"grad_clip": None}, "huber", "mse"),
    "categorical_distribution_temperature": (SAMPLING, 1.0, 0.05),
    "exploration_config": ({}, {}, {"final_epsilon": 0.5, "epsilon_timesteps": 20}),
}


def test_every_key_of_dqn_is_here() -> None:
    assert {*EFFECTS} == {*paths(DQNConfig())} - {*paths(OffPolicyConfig())} | {"exploration_config"}


@pytest.mark.parametrize("key", EFFECTS)
def test_a_key_has_an_effect(key: str) -> None:
    context, *values = EFFECTS[key]
    shared = {**TINY, "lr": 1e-2, "min_sample_timesteps_per_iteration": 60, **context}
    found = [fingerprint(DQN, CHOOSING, {**shared, key: value}, 1)[0] for value in values]
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hiddens": [4, 0]}, r"`hiddens` is \[4, 0\]"),
        ({"num_atoms": 0}, "`num_atoms` is 0"),
        ({"v_min": 1.0, "v_max": 1.0}, "`v_max` is 1.0"),
        ({"sigma0": -1.0}, "`sigma0` is -1.0"),
        ({"td_error_loss_fn": "l1"}, "`td_error_loss_fn` takes 'huber' or 'mse'"),
        ({"categorical_distribution_temperature": 0.0}, "`categorical_distribution_temperature` is 0.0"),
        ({"noisy": True, "hiddens": [], "dueling": False}, "`noisy` is True, but without `hiddens`"),
        ({"exploration_config": {"type": "Curiosity"}}, "'Curiosity': it changes rewards"),
        ({"exploration_config": {"type": "GaussianNoise"}}, "GaussianNoise adds noise to float Boxes"),
        ({"noisy": True, "exploration_config": {"epsilon_timesteps": 5}}, "with `noisy` epsilon does not move"),
        ({"explore": False, "exploration_config": {"final_epsilon": 0.1}}, "no effect: actions do not explore"),
        ({"normalize_rewards": True}, "of many scales"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**settings)


@pytest.mark.parametrize(
    ("given", "hiddens", "dueling"),
    [
        ({}, [256], False),
        ({"dueling": False}, [256], False),
        ({"hiddens": []}, [], True),
        ({"hiddens": [8], "dueling": False}, [8], False),
    ],
)
def test_a_preset_without_heads_gets_some_for_noise(given: dict[str, Any], hiddens: list[int], dueling: bool) -> None:
    with closing(DQN("CartPole-v1", noisy=True, **given)) as algorithm:
        assert (algorithm.config.hiddens, algorithm.config.dueling) == (hiddens, dueling)
    with closing(DQN("CartPole-v1")) as algorithm:
        assert not algorithm.config.has_heads


@pytest.mark.spec(165)
def test_combinations_that_cannot_work_are_refused() -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"^action: Q-learning .* infinitely many. Take SAC or PPO"):
        make(quiet(spaces.Box(-1, 1, (2,))))
    with pytest.raises(UnsupportedSpaceError, match=r"^action\[1\]: .* Take SAC or PPO"):
        make(quiet(spaces.Tuple([THREE, spaces.Box(-1, 1, ())])))
    with pytest.raises(ConfigError, match="`autoregressive_actions` draws each part"):
        make(quiet(PAIR), **{"model.autoregressive_actions": True})
    parametric = {"model.parametric_actions": "learned"}
    for key, value in (("hiddens", [5]), ("dueling", True), ("num_atoms", 5)):
        settings = {name: setting for name, setting in TINY.items() if name != "hiddens"} | parametric
        with pytest.raises(ConfigError, match=rf"`{key}` is {re.escape(repr(value))}, but `parametric_actions`"):
            DQN(quiet(THREE), nested({**settings, key: value}), preset="none")
    with pytest.raises(ConfigError, match=r"`exploration_config` is .*PPO learns from samples of its own distribution"):
        PPO(quiet(THREE), {"exploration_config": {"type": "EpsilonGreedy"}}, preset="none")


def test_parametric_actions_are_values_by_themselves() -> None:
    settings = {name: setting for name, setting in TINY.items() if name != "hiddens"}
    settings |= {"model.parametric_actions": "learned", "model.action_embedding_dim": 4}
    with closing(DQN(lambda: Choosing(THREE, [3]), nested(settings), preset="none")) as algorithm:
        assert (algorithm.config.hiddens, algorithm.config.dueling) == ([], False)
        assert np.isfinite(algorithm.train()["learner"]["total_loss"])


def test_defaults() -> None:
    config = DQNConfig()
    assert (config.lr, config.adam_epsilon, config.grad_clip, config.train_batch_size) == (5e-4, 1e-8, 40.0, 32)
    assert (config.n_step, config.num_atoms, config.v_min, config.v_max) == (1, 1, -10.0, 10.0)
    assert (config.noisy, config.sigma0, config.dueling, config.hiddens, config.double_q) == (
        False,
        0.5,
        True,
        [256],
        True,
    )
    assert (config.td_error_loss_fn, config.target_network_update_freq, config.tau) == ("huber", 500, 1.0)
    assert (config.num_steps_sampled_before_learning_starts, config.replay_capacity) == (1000, 50_000)
    assert (config.prioritized_replay, config.prioritized_replay_alpha, config.prioritized_replay_beta) == (
        True,
        0.6,
        0.4,
    )
    with closing(make(quiet(THREE))) as algorithm:
        epsilons = []
        for timestep in (0, 5000, 9999, 10_000):
            algorithm.policy.at(timestep)
            epsilons.append(algorithm.policy.exploration.epsilon)
    np.testing.assert_allclose(epsilons, [1.0, 0.51, 0.020098, 0.02])


def test_presets_go_by_the_spaces_and_what_is_given() -> None:
    assert general_preset("dqn", VECTOR, PAIR).name == "discrete"
    assert general_preset("dqn", VECTOR, spaces.Box(-1, 1, (2,))).name == "discrete"  # refused when DQN is built
    assert general_preset("dqn", spaces.Box(0, 255, (8, 8, 3), np.uint8), PAIR).name == "image"
    settings = {"train_batch_size": 16, "replay_capacity": 1000}
    with closing(DQN(quiet(PAIR), settings, preset="discrete")) as algorithm:
        # A small batch is no reason for fewer environments.
        assert (algorithm.config.train_batch_size, algorithm.config.num_envs_per_env_runner) == (16, 8)
        assert type(algorithm.policy.exploration) is EpsilonGreedy
