"""What has to hold for every pair of spaces: the whole way from the environment to the checkpoint and back."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

from anyspace import PPO, Algorithm, tree
from anyspace.data.trajectory import Trajectory
from anyspace.errors import NonFiniteError
from anyspace.execution.training import Updates
from anyspace.maths.gather import Gathered
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy
from anyspace.spaces import RepeatedValues, get_preprocessor, restore_original_dimensions
from tests.fuzz.environment import NUM_ENVS, Pair, RandomEnv, Seen, as_env, is_member, require_allowed
from tests.fuzz.sampling import Sampler, leaf_spaces, leaf_values, option_counts
from tests.support.catalogue import rows_of, stacked
from tests.support.flat_reference import flattened
from tests.support.reading import Reader, assert_same, plain

SMALL = {
    "num_envs_per_env_runner": NUM_ENVS,
    "train_batch_size": 20,
    "minibatch_size": 10,
    "num_epochs": 1,
    "lr": 1e-3,
    "model": {"fcnet_hiddens": [8]},
}


HUGE = 1e3
"""Features beyond it need a filter or a wrapper before a network without bounded activations can learn from them."""


class Watched(PPO):
    """Keeps what it learnt from."""

    trajectory: Trajectory

    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        self.trajectory = trajectory
        return super().updates(policy, trajectory)


def check(pair: Pair) -> None:
    """Raise if anything does not hold for ``pair``."""
    envs: list[RandomEnv] = []
    algorithm = Watched(as_env(pair, envs), SMALL, **pair.config, seed=pair.seed, preset="none")
    try:
        with algorithm.policy.runtime.threads_for(NUM_ENVS):
            check_training(algorithm, pair, envs)
            seen = [one for env in envs for one in env.seen][-6:]
            check_encoding(algorithm.policy, pair, [one.obs for one in seen])
            check_actions(algorithm, pair, seen)
            check_checkpoint(algorithm, pair, seen)
    finally:
        algorithm.close()


def check_training(algorithm: Watched, pair: Pair, envs: list[RandomEnv]) -> None:
    """Check that an iteration learns something finite, from what the environments observed, did and masked."""
    before = algorithm.policy.state()
    try:
        learnt = algorithm.train()["learner"]
    except NonFiniteError:
        # Convolutions have no bound on what they make of numbers like 1e19. The message says so.
        assert largest_feature(algorithm) > HUGE
        algorithm.policy.load_state(before)
    else:
        assert all(math.isfinite(value) for name, value in learnt.items() if name != "model"), learnt
        after = algorithm.policy.state()
        changed = any((after[name] != before[name]).any() for name in before if name.startswith("model/"))
        # Errors beyond the clip of the value loss teach nothing.
        assert changed or largest_feature(algorithm) > HUGE
        assert all(np.isfinite(value).all() for value in after.values())
    check_trajectory(algorithm.trajectory, algorithm.policy, pair, [env for env in envs if env.seen])


def largest_feature(algorithm: Watched) -> float:
    """Return the largest number that the model was shown, by size."""
    policy = algorithm.policy
    leaves = [leaf.put_together() if isinstance(leaf, Gathered) else leaf for leaf in algorithm.trajectory.all_obs()]
    with np.errstate(over="ignore"):
        return float(np.abs(policy.preprocessor.flatten(policy.masking.observation(leaves))).max())


def check_trajectory(trajectory: Trajectory, policy: Policy, pair: Pair, envs: list[RandomEnv]) -> None:
    """Check that the rows of a trajectory are what ``envs`` lived through, in order."""
    leaves = [leaf.put_together() if isinstance(leaf, Gathered) else leaf for leaf in trajectory.all_obs()]
    reader = Reader(policy.masking.observation(leaves), [len(spec.element_shape) for spec in policy.encode.specs])
    mask = policy.masking.find(leaves)
    steps, width = trajectory.valid.shape
    flat = tree.map_leaves(lambda leaf: leaf.reshape(steps * width, *leaf.shape[2:]), trajectory.actions)
    actions = rows_of(pair.action_space, policy.to_env(flat), steps * width)
    finals = list(zip(trajectory.final_obs.t, trajectory.final_obs.b, strict=True))
    for b, env in zip(range(width), envs, strict=True):
        order = [b]
        for t in range(steps):
            order += [(steps + 1) * width + finals.index((t, b))] if (t, b) in finals else []
            order.append((t + 1) * width + b)
        for row, one in zip(order, env.seen, strict=True):
            assert_same(reader.read(policy.observation_space, (row,)), plain(policy.observation_space, one.obs))
            if mask is not None:
                assert np.array_equal(mask[row], one.mask)
        acted = [actions[t * width + b] for t in np.flatnonzero(trajectory.valid[:, b])]
        for one_action, other in zip(acted, env.actions, strict=True):
            require_equal(pair, one_action, other)
    assert (mask is None) == (pair.masks == "none")


def require_equal(pair: Pair, one: Any, other: Any, *, close: bool = False) -> None:
    """Assert that actions are the same; ``close``: their real numbers almost."""
    leaves = leaf_spaces(pair.action_space)
    values = leaf_values(pair.action_space, one), leaf_values(pair.action_space, other)
    for leaf, value, counterpart in zip(leaves, *values, strict=True):
        if close and not option_counts(leaf):
            tolerance = 2e-3 if leaf.dtype == np.float16 else 1e-4
            with np.errstate(invalid="ignore"):  # both may be infinite
                difference = np.where(value == counterpart, 0, np.abs(value / 2 - counterpart / 2))
            assert (difference <= tolerance * (1 + magnitude(leaf) + np.abs(value))).all(), f"{one} is not {other}"
        else:
            assert np.array_equal(value, counterpart), f"{one} is not {other}"


def magnitude(leaf: gym.Space[Any]) -> Any:
    """Return how far apart the bounds of each component are that has both; of others 0."""
    if not isinstance(leaf, Box):
        return 0.0
    low, high = (bound.astype(np.float64) for bound in (leaf.low, leaf.high))
    return np.where(np.isfinite(low) & np.isfinite(high), high / 2 - low / 2, 0.0)


def check_encoding(policy: Policy, pair: Pair, seen: list[Any]) -> None:
    """Check that observations are encoded as a slow reader reads them, one by one as all at once, padded by zeros."""
    space = policy.observation_space
    sampler = Sampler(np.random.default_rng(pair.seed), pair.max_len, largest=math.inf)
    observations = [*seen, *(sampler.draw(space) for _ in range(2))]
    leaves = policy.encode(stacked(space, observations))
    reader = Reader(leaves, [len(spec.element_shape) for spec in policy.encode.specs])
    for row, obs in enumerate(observations):
        assert is_member(space, obs), f"{obs!r} is not in {space}"
        assert_same(reader.read(space, (row,)), plain(space, obs))
        for one, leaf in zip(policy.encode.single(obs), leaves, strict=True):
            assert np.array_equal(one, leaf[row])
    for leaf, spec, touched in zip(leaves, policy.encode.specs, reader.touched, strict=True):
        assert leaf.dtype == spec.dtype
        assert leaf.shape == (len(observations), *spec.shape)
        assert not leaf[~touched].any(), f"{spec.place()}: what is not there is not zero"
    check_features(policy, observations, leaves)


def check_features(policy: Policy, observations: list[Any], leaves: Any) -> None:
    """Check flat vectors against a slow reference, and that they are cut into the features that they were made of."""
    preprocessor = get_preprocessor(policy.observation_space)
    features = preprocessor.expand(leaves)
    flat = preprocessor.flatten_features(features)
    expected = np.array([flattened(policy.observation_space, obs) for obs in observations], np.float32)
    assert flat.dtype == np.float32
    np.testing.assert_allclose(flat, expected, rtol=1e-6)
    restored = restore_original_dimensions(flat, preprocessor.observation_space)
    if isinstance(restored, np.ndarray):
        assert restored is flat
    else:
        require_same_tree(restored, preprocessor.restore(features))


def require_same_tree(one: Any, other: Any) -> None:
    """Assert that restored observations are the same, structure and all."""
    assert type(one) is type(other)
    match one:
        case RepeatedValues():
            assert one.max_len == other.max_len
            require_same_tree([one.lengths, one.values], [other.lengths, other.values])
        case dict():
            assert list(one) == list(other)
            require_same_tree(list(one.values()), list(other.values()))
        case list():
            for part, counterpart in zip(one, other, strict=True):
                require_same_tree(part, counterpart)
        case _:
            assert np.array_equal(one, other)


def stacked_masks(pair: Pair, seen: list[Seen]) -> Any:
    """Return the masks [N, A] that are no part of the observations, or None."""
    return np.stack([one.mask for one in seen]) if pair.masks in ("info", "nested info", "method") else None


def batch_actions(algorithm: Algorithm[Any], pair: Pair, seen: list[Seen]) -> Any:
    """Return the deterministic actions for stacked observations."""
    observations = stacked(algorithm.policy.observation_space, [one.obs for one in seen])
    return algorithm.compute_actions(observations, mask=stacked_masks(pair, seen))


def check_actions(algorithm: Algorithm[Any], pair: Pair, seen: list[Seen]) -> None:
    """Check that actions are allowed, the same one by one as all at once, and those of the network that learns."""
    actions = batch_actions(algorithm, pair, seen)
    for row, one in zip(rows_of(pair.action_space, actions, len(seen)), seen, strict=True):
        mask = one.mask if pair.masks == "method" else None
        action = algorithm.compute_single_action(one.obs, info=one.info, mask=mask)
        require_allowed(pair, action, one.mask)
        require_equal(pair, action, row, close=True)
    policy, masks = algorithm.policy, stacked_masks(pair, seen)
    leaves = policy.encode(stacked(policy.observation_space, [one.obs for one in seen]))
    tensors = [policy.runtime.asarray(leaf) for leaf in leaves]
    with policy.runtime.acting():
        batch = Batch(obs=tensors)
        mask = policy.masking.find(tensors) if masks is None else policy.runtime.asarray(masks != 0)
        if mask is not None:
            batch["action_mask"] = mask
        distribution = policy.evaluate(batch, value=False).distribution
        raw = tree.map_leaves(policy.runtime.numpy, distribution.deterministic_sample())
    require_equal(pair, policy.to_env(raw), actions, close=True)


def check_checkpoint(algorithm: Algorithm[Any], pair: Pair, seen: list[Seen]) -> None:
    """Check that a loaded algorithm acts as the saved one, and goes on learning."""
    envs: list[RandomEnv] = []
    with TemporaryDirectory() as folder:
        path = algorithm.save(Path(folder) / "checkpoint")
        again = Watched.load(path, env=as_env(pair, envs) if pair.resumes else None)
    try:
        state, loaded = algorithm.policy.state(), again.policy.state()
        assert state.keys() == loaded.keys()
        assert all(np.array_equal(state[name], loaded[name]) for name in state)
        require_equal(pair, *(batch_actions(one, pair, seen) for one in (algorithm, again)))
        if pair.resumes:
            assert isinstance(again, Watched)
            check_training(again, pair, envs)
    finally:
        again.close()
