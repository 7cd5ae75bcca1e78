"""Masks when a policy acts alone, and what a model sees of them."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import nn

from anyspace import PPO, Algorithm
from anyspace.algorithms.saving.reading import Reader
from anyspace.data.seeds import evaluation_seed
from anyspace.errors import CheckpointError, ObservationError
from anyspace.execution.checkpoint import read_checkpoint, write_checkpoint
from anyspace.models import FullyConnectedNetwork, GTrXLNet, ModelConfig, TorchModelV2
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.spaces import ActionMasks, BoundedSequence

ACTIONS = 6
SETTINGS: dict[str, Any] = {
    "num_envs_per_env_runner": 2,
    "train_batch_size": 32,
    "minibatch_size": 16,
    "num_epochs": 1,
    "seed": 0,
}
SMALL: dict[str, Any] = {"fcnet_hiddens": [8]}
RECURRENT: dict[str, Any] = {"max_seq_len": 4, "lstm_cell_size": 5}
ATTENTION: dict[str, Any] = {"use_attention": True, "max_seq_len": 4, "attention_dim": 6, "attention_head_dim": 3}
ATTENTION |= {"attention_memory_inference": 3, "attention_memory_training": 3, "attention_position_wise_mlp_dim": 4}
MEMORIES: dict[str, dict[str, Any]] = {
    "none": {},
    "lstm": {**RECURRENT, "use_lstm": True, "lstm_use_prev_action": True},
    "gru": {**RECURRENT, "use_gru": True, "lstm_use_prev_reward": True},
    "gtrxl": ATTENTION,
}


class OneAllowed(gym.Env[Any, Any]):
    """Allows one action a step, whatever is seen; any other is an error.

    Args:
        source: "infos" or "method": where the mask is; "none": all actions are allowed.
        forgets: leave the mask out of the infos of steps.
    """

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Discrete(ACTIONS)

    def __init__(self, source: str, forgets: bool = False):
        self.source, self.forgets = source, forgets
        if source == "method":
            self.action_masks = self.mask

    def mask(self) -> Any:
        return np.eye(ACTIONS, dtype=np.int8)[self.only]

    def draw(self) -> Any:
        self.only = int(self.np_random.integers(ACTIONS))
        info = {"action_mask": self.mask()} if self.source == "infos" else {}
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), info

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.draw()

    def step(self, action: Any) -> Any:
        assert self.source == "none" or action == self.only, f"{action} is forbidden"
        self.t += 1
        obs, info = self.draw()
        return obs, float(action), self.t == 9, False, {} if self.forgets else info


def aged(checkpoint: Path) -> None:
    """Take out of a checkpoint what versions before did not write."""
    state, tensors = read_checkpoint(checkpoint)
    del state["config"]["model"]["mask_as_feature"], tensors["policy/mask_origin"]
    kept = {key: value for key, value in state.items() if key not in ("tensors", "shapes")}
    write_checkpoint(checkpoint, {**kept, "format": 2}, tensors)


WANTED = {
    "method": r"trained with the masks that the environment's method action_masks\(\) .*`mask=env.action_masks\(\)`",
    "infos": r"trained with the masks that the environment's infos hold.*`info=info`",
}


@pytest.fixture(params=["infos", "method"])
def source(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["fresh", "trained", "loaded"])
def algorithm(request: pytest.FixtureRequest, source: str, tmp_path: Path) -> Algorithm[Any]:
    made: Algorithm[Any] = PPO(lambda: OneAllowed(source), SETTINGS, model=SMALL)
    if request.param == "fresh":
        return made
    made.train()
    return made if request.param == "trained" else Algorithm.load(made.save(tmp_path))


def test_without_the_masks_that_it_was_trained_with_a_policy_does_not_act(
    algorithm: Algorithm[Any], source: str
) -> None:
    env = OneAllowed(source)
    obs, info = env.reset(seed=1)
    for actor in (algorithm, algorithm.policy):
        with pytest.raises(ObservationError, match=f"mask: none came.*{WANTED[source]}.*`mask=False`"):
            actor.compute_single_action(obs)
        with pytest.raises(ObservationError, match=f"mask: none came.*{WANTED[source]}.*`mask=False`"):
            actor.compute_actions(obs[None])
        with pytest.raises(ObservationError, match=f"`info` holds no 'action_mask'.*{WANTED[source]}"):
            actor.compute_single_action(obs, info={"other": 1})
        assert actor.compute_single_action(obs, mask=env.mask()) == env.only
        assert actor.compute_single_action(obs, mask=env.mask(), info={}) == env.only
        if source == "infos":
            assert actor.compute_single_action(obs, info=info) == env.only
            assert actor.compute_actions(obs[None], info=[info]).tolist() == [env.only]


def test_false_means_no_mask_on_purpose(algorithm: Algorithm[Any]) -> None:
    observations = np.random.default_rng(0).uniform(-1, 1, (20, 3)).astype(np.float32)
    bare = algorithm.policy
    logits = bare.evaluate(Batch(obs=[torch.from_numpy(observations)])).distribution.inputs
    best = logits.argmax(1).tolist()
    assert algorithm.compute_actions(observations, mask=False).tolist() == best
    assert [algorithm.compute_single_action(obs, mask=False, info={"action_mask": 7}) for obs in observations] == best


def test_training_and_evaluation_keep_to_the_masks(algorithm: Algorithm[Any], source: str, tmp_path: Path) -> None:
    again = Algorithm.load(algorithm.save(tmp_path / "again"), env=lambda: OneAllowed(source))
    assert again.evaluate(3, explore=True)["episode_len_mean"] == 9
    again.train()
    again.close()


def test_without_masks_nothing_need_be_handed_over(tmp_path: Path) -> None:
    fresh = PPO(lambda: OneAllowed("none"), SETTINGS, model=SMALL)
    obs, info = OneAllowed("none").reset(seed=0)
    for _ in range(2):
        assert fresh.compute_single_action(obs) == fresh.compute_single_action(obs, info=info)
        assert fresh.compute_single_action(obs) == fresh.compute_single_action(obs, mask=False)
        fresh.train()
    loaded = Algorithm.load(fresh.save(tmp_path))
    assert loaded.policy.masking.origin == "none"
    assert loaded.compute_single_action(obs) == fresh.compute_single_action(obs)
    # A mask that is handed over is respected all the same.
    assert loaded.compute_single_action(obs, mask=np.eye(ACTIONS)[4]) == 4


def test_evaluating_elsewhere_does_not_change_what_has_to_be_handed_over(tmp_path: Path) -> None:
    trained = PPO(lambda: OneAllowed("method"), SETTINGS, model=SMALL)
    trained.train()
    elsewhere = Algorithm.load(trained.save(tmp_path), env=lambda: OneAllowed("none"))
    elsewhere.evaluate(2)
    with pytest.raises(ObservationError, match=WANTED["method"]):
        elsewhere.compute_single_action(np.zeros(3, np.float32))
    without = Algorithm.load(tmp_path, config={"action_mask_key": None})
    assert without.compute_single_action(np.zeros(3, np.float32)) in range(ACTIONS)


def test_a_checkpoint_that_does_not_say_where_masks_came_from_acts_as_it_did(tmp_path: Path) -> None:
    trained = PPO(lambda: OneAllowed("method"), SETTINGS, model=SMALL)
    trained.train()
    aged(trained.save(tmp_path))
    old = Algorithm.load(tmp_path, env=lambda: OneAllowed("method"))
    obs = np.zeros(3, np.float32)
    assert old.compute_single_action(obs) == trained.compute_single_action(obs, mask=False)
    old.train()
    with pytest.raises(ObservationError, match=WANTED["method"]):
        old.compute_single_action(obs)


def test_acting_first_changes_nothing_in_the_training_that_follows() -> None:
    weights = []
    for acts in (True, False):
        algorithm = PPO(lambda: OneAllowed("infos"), SETTINGS, model=SMALL)
        if acts:
            with pytest.raises(ObservationError):
                algorithm.compute_single_action(np.zeros(3, np.float32))
        algorithm.train()
        weights.append(algorithm.policy.weights())
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name])


def test_a_vector_environment_of_the_user_is_not_reset_by_acting() -> None:
    envs = SyncVectorEnv([lambda: OneAllowed("infos")] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    algorithm = PPO(envs, SETTINGS, model=SMALL)
    obs, _ = envs.reset(seed=0)
    before = [env.unwrapped.only for env in envs.envs]
    algorithm.compute_actions(obs)
    assert [env.unwrapped.only for env in envs.envs] == before
    algorithm.train()
    with pytest.raises(ObservationError, match=WANTED["infos"]):
        algorithm.compute_actions(obs)


def test_a_method_that_nobody_asks_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Lenient(OneAllowed):
        def step(self, action: Any) -> Any:
            return super().step(self.only)

    for make, told in ((lambda: Lenient("method"), True), (lambda: Lenient("infos"), False)):
        caplog.clear()
        envs = SyncVectorEnv([make] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
        algorithm = PPO(envs, SETTINGS, model=SMALL)
        algorithm.train()
        assert ("have a method action_masks(), which nobody asks" in caplog.text) == told
        assert algorithm.policy.masking.origin == ("none" if told else "infos")


def test_environments_in_other_processes_say_that_they_have_a_method() -> None:
    algorithm = PPO(lambda: OneAllowed("method"), SETTINGS, model=SMALL, vectorization="async")
    try:
        assert algorithm.policy.masking.origin == "method"
        algorithm.train()
        assert algorithm.policy.masking.origin == "method"
    finally:
        algorithm.close()


# ------------------------------------------------------------------------------------------- several at once


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_vector_environment_hands_over_a_mask_for_each_row(mode: AutoresetMode, source: str) -> None:
    algorithm = PPO(lambda: OneAllowed(source), SETTINGS, model=SMALL)
    algorithm.train()
    envs = SyncVectorEnv([lambda: OneAllowed(source)] * 3, autoreset_mode=mode)
    obs, info = envs.reset(seed=3)
    for _ in range(8):  # within the first episode
        masks = {"info": info} if source == "infos" else {"mask": envs.call("action_masks")}
        actions = algorithm.compute_actions(obs, **masks)
        assert actions.tolist() == [env.unwrapped.only for env in envs.envs]
        obs, _, _, _, info = envs.step(actions)


def test_a_list_of_infos() -> None:
    algorithm = PPO(lambda: OneAllowed("infos"), SETTINGS, model=SMALL)
    algorithm.train()
    obs, only = np.zeros((3, 3), np.float32), [np.eye(ACTIONS)[i] for i in (4, 0, 2)]
    infos = [{"action_mask": mask} for mask in only]
    for given in (infos, tuple(infos), np.array(infos, object)):
        assert algorithm.compute_actions(obs, info=given).tolist() == [4, 0, 2]
    best = int(algorithm.compute_actions(obs, mask=False)[0])
    # None allows everything, as in the infos of an environment.
    assert algorithm.compute_actions(obs, info=[infos[0], {"action_mask": None}, infos[2]]).tolist() == [4, best, 2]
    assert algorithm.compute_single_action(obs[0], info={"action_mask": None}) == best
    for given, message in [
        ([infos[0], {}, infos[2]], "info: that of observation 1 holds no 'action_mask', but masks come with every"),
        ({"action_mask": np.stack(only), "_action_mask": np.array([True, True, False])}, "that of observation 2 holds"),
        (infos[:2], "info: expected 3 infos, one for each observation, got 2"),
        ({"action_mask": np.stack(only[:2])}, "expected 3 rows, one for each observation, or one for all, got 2"),
        ([{}] * 3, WANTED["infos"]),
        ("mask", "info: expected the dict of a vector environment, or a list of dicts.*got 'mask'"),
        ("mask" * 100, r"what the environment returned, got 'mask.{70,90}$"),
        ([*infos[:2], {"action_mask": np.ones(5)}], r"info\[2\]\['action_mask'\].*got shape \[5\]"),
    ]:
        with pytest.raises(ObservationError, match=message):
            algorithm.compute_actions(obs, info=given)
    with pytest.raises(ObservationError, match="info: expected a dict, what the environment returned"):
        algorithm.compute_single_action(obs[0], info=[infos[0]])


def test_an_environment_that_forgets_masks_in_steps_is_refused_in_training_and_alone() -> None:
    env = OneAllowed("infos", forgets=True)
    algorithm = PPO(lambda: OneAllowed("infos", forgets=True), SETTINGS, model=SMALL)
    with pytest.raises(ObservationError, match="its info holds no 'action_mask', but masks come with every"):
        algorithm.train()
    obs, info = env.reset(seed=0)
    action = algorithm.compute_single_action(obs, info=info)
    obs, _, _, _, info = env.step(action)
    with pytest.raises(ObservationError, match=f"`info` holds no 'action_mask'.*{WANTED['infos']}"):
        algorithm.compute_single_action(obs, info=info)


# --------------------------------------------------------------------------------- acting as the rollout does


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_loaded_policy_takes_the_actions_of_the_rollout(memory: str, source: str, tmp_path: Path) -> None:
    class Several(OneAllowed):
        """Allows every action but one, so that there is something to choose."""

        def mask(self) -> Any:
            return 1 - super().mask()

        def step(self, action: Any) -> Any:
            assert action != self.only
            taken.append(int(action))
            only, self.only = self.only, action
            try:
                return super().step(action)
            finally:
                del only

    taken: list[int] = []
    trained = PPO(
        lambda: Several(source), SETTINGS, model={**SMALL, **MEMORIES[memory]}, observation_filter="MeanStdFilter"
    )
    trained.train()
    loaded = Algorithm.load(trained.save(tmp_path), env=lambda: Several(source))
    taken.clear()
    loaded.evaluate(1)
    expected, env = list(taken), Several(source)
    taken.clear()
    obs, info = env.reset(seed=evaluation_seed(loaded.seed, loaded.timesteps_total))
    state, reward, over = None, None, False
    while not over:
        handed = {"info": info} if source == "infos" else {"mask": env.action_masks()}
        result = loaded.compute_single_action(obs, state, prev_reward=reward, **handed)
        action, state = result if loaded.policy.views.remembers else (result, None)
        obs, reward, over, _, info = env.step(action)
    assert taken == expected
    assert len(set(taken)) > 1


def test_a_previous_reward_has_to_be_a_number_and_a_memory_a_state() -> None:
    policy = Policy(
        OneAllowed.observation_space,
        OneAllowed.action_space,
        PolicyConfig(model=ModelConfig(**SMALL, **RECURRENT, use_gru=True, lstm_use_prev_reward=True)),
        TorchRuntime("cpu"),
    )
    obs = np.zeros((2, 3), np.float32)
    _, state = policy.compute_actions(obs)
    for reward in (np.nan, [1, np.inf], np.ones(3), np.ones((2, 1)), "1", [1, None]):
        with pytest.raises(ObservationError, match="prev_reward: expected a finite number, or one for each of 2"):
            policy.compute_actions(obs, state, prev_reward=reward)
    with pytest.raises(ObservationError, match="looks at rewards: give the one"):
        policy.compute_actions(obs, state)
    one, both = (policy.compute_actions(obs, state, prev_reward=reward)[1] for reward in (2, [2.0, 2.0]))
    for mine, other in zip(one.acted.state_out, both.acted.state_out, strict=True):
        np.testing.assert_array_equal(mine, other)
    with pytest.raises(ObservationError, match=r"state: expected what the previous call .* got a list"):
        policy.compute_actions(obs, [])


# ------------------------------------------------------------------------------------- masks are no features

RESTS: dict[str, gym.Space[Any]] = {
    "vector": spaces.Box(-1, 1, (4,)),
    "index": spaces.Discrete(7),
    "picture": spaces.Box(0, 255, (20, 20, 3), np.uint8),
    "gray picture": spaces.Box(0, 255, (20, 20), np.uint8),
    "list": BoundedSequence(spaces.Box(-1, 1, (2,)), max_len=3),
    "nested": spaces.Dict(a=spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,)))), b=spaces.MultiBinary(3)),
}
MASKED: dict[str, gym.Space[Any]] = {
    "discrete": spaces.Discrete(5, start=2),
    "multidiscrete": spaces.MultiDiscrete([3, 2]),
    "multibinary": spaces.MultiBinary(2),
    "nested": spaces.Dict(z=spaces.Discrete(3), a=spaces.Tuple((spaces.Box(-1, 1, (2,)), spaces.Discrete(2)))),
}


class Somewhere(gym.Env[Any, Any]):
    """Observes samples of a space; the mask, in which each option but the first is allowed by chance, is somewhere.

    Args:
        rest: what is observed beside the mask.
        action_space: of the actions.
        place: "method", "flat" or "nested": the latter two are in the observation.
    """

    def __init__(self, rest: gym.Space[Any], action_space: gym.Space[Any], place: str):
        self.rest, self.action_space, self.place = copy.deepcopy(rest), action_space, place
        self.firsts = np.cumsum([0, *ActionMasks(action_space)._root.options])[:-1]
        self.observation_space: gym.Space[Any] = self.rest
        if place == "method":
            self.action_masks = lambda: self.mask
        else:
            inside = [("action_mask", mask_space(action_space, place == "nested")), ("observations", self.rest)]
            self.observation_space = spaces.Dict(inside)

    def draw(self) -> Any:
        self.mask = self.np_random.integers(0, 2, ActionMasks(self.action_space).width).astype(np.int8)
        self.mask[self.firsts] = 1
        seen = self.rest.sample()
        if self.place == "method":
            return seen
        mask = self.mask if self.place == "flat" else cut(self.action_space, iter(self.mask))
        return {"observations": seen, "action_mask": mask}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.rest.seed(seed)
        self.t = 0
        return self.draw(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.draw(), float(self.np_random.normal()), self.t == 7, False, {}


def mask_space(action: gym.Space[Any], nested: bool) -> gym.Space[Any]:
    if nested and isinstance(action, spaces.Dict):
        return spaces.Dict({key: mask_space(part, nested) for key, part in action.spaces.items()})
    if nested and isinstance(action, spaces.Tuple):
        return spaces.Tuple([mask_space(part, nested) for part in action.spaces])
    width = ActionMasks(action).width
    return spaces.MultiBinary(width) if width else spaces.Tuple(())


def cut(action: gym.Space[Any], bits: Any) -> Any:
    """Nest the bits of a mask as the action is."""
    if isinstance(action, spaces.Dict):
        return {key: cut(part, bits) for key, part in action.spaces.items()}
    if isinstance(action, spaces.Tuple):
        return tuple(cut(part, bits) for part in action.spaces)
    width = ActionMasks(action).width
    return np.array(list(itertools.islice(bits, width)), np.int8) if width else ()


CASES = [
    *((rest, "discrete", "flat", "none") for rest in RESTS),
    *(("nested", action, place, "none") for action in MASKED for place in ("flat", "nested")),
    *(("vector", "nested", "nested", memory) for memory in MEMORIES),
    ("picture", "nested", "nested", "gru"),
]


@pytest.mark.parametrize(("rest", "action", "place", "memory"), CASES)
def test_training_is_the_same_with_the_mask_in_the_observation_as_with_a_method(
    rest: str, action: str, place: str, memory: str
) -> None:
    trained = []
    for where in (place, "method"):
        algorithm = PPO(
            lambda where=where: Somewhere(RESTS[rest], MASKED[action], where),
            SETTINGS,
            model={**SMALL, **MEMORIES[memory]},
            observation_filter="MeanStdFilter",
        )
        algorithm.train()
        trained.append(algorithm.policy)
    inside, by_method = (policy.runtime.parameters(policy.model) for policy in trained)
    for (name, value), (_, other) in zip(sorted(inside.items()), sorted(by_method.items()), strict=True):
        np.testing.assert_array_equal(value, other, err_msg=name)
    own, others = (list(policy.filter.state().values()) for policy in trained)
    for value, other in zip(own, others, strict=True):
        np.testing.assert_array_equal(value, other)
    observing, asking = trained
    obs = Somewhere(RESTS[rest], MASKED[action], place).reset(seed=5)[0]
    alike = [
        policy.compute_single_action(seen, **mask)
        for policy, seen, mask in (
            (observing, obs, {}),
            (asking, obs["observations"], {"mask": obs["action_mask"]}),
        )
    ]
    if memory != "none":
        alike = [result[0] for result in alike]
    np.testing.assert_equal(*alike)


def inside(place: str = "flat", **model: Any) -> Policy:
    space = Somewhere(RESTS["vector"], MASKED["discrete"], place).observation_space
    config = PolicyConfig(model=ModelConfig(**SMALL, **model))
    return Policy(space, MASKED["discrete"], config, TorchRuntime("cpu"), seed=2)


def leaves_of(policy: Policy, seed: int, masks_seed: int) -> list[np.ndarray[Any, Any]]:
    masks = np.random.default_rng(masks_seed).integers(0, 2, (9, 5)).astype(np.int8)
    masks[:, 0] = 1
    return [masks, np.random.default_rng(seed).uniform(-1, 1, (9, 4)).astype(np.float32)]


def outputs(policy: Policy, leaves: list[np.ndarray[Any, Any]]) -> tuple[Any, Any]:
    batch = Batch(obs=[torch.from_numpy(leaf) for leaf in leaves])
    batch["action_mask"] = policy.masking.find(batch["obs"])
    evaluation = policy.evaluate(batch)
    assert evaluation.values is not None
    return evaluation.output.detach(), evaluation.values.detach()


def test_the_bits_of_a_mask_change_no_output_but_what_is_allowed() -> None:
    plain, seeing = inside(), inside(mask_as_feature=True)
    for policy, changes in ((plain, False), (seeing, True)):
        one, other = (outputs(policy, leaves_of(policy, 0, seed)) for seed in (1, 2))
        assert all(torch.equal(first, second) != changes for first, second in zip(one, other, strict=True))
    first = plain.runtime.parameters(plain.model)["encoder.0.weight"]
    assert first.shape == (8, 4)
    assert seeing.runtime.parameters(seeing.model)["encoder.0.weight"].shape == (8, 5 + 4)


@pytest.mark.parametrize("memory", MEMORIES)
def test_the_numpy_twin_acts_as_the_network(memory: str) -> None:
    policy = inside(**MEMORIES[memory])
    leaves = leaves_of(policy, 0, 1)
    with policy.acting() as act:
        assert act.network.twin is not None
        network = dataclasses.replace(act.network, twin=None)
        by_twin, by_network = (
            act(leaves, explore=False),
            dataclasses.replace(act, network=network)(leaves, explore=False),
        )
    np.testing.assert_array_equal(by_twin.raw, by_network.raw)
    for state, other in zip(by_twin.state_out, by_network.state_out, strict=True):
        np.testing.assert_allclose(state, other, atol=1e-6)


class Custom(TorchModelV2):
    """Notes what it is shown."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.layer = nn.Linear(int(np.prod(self.obs_space.shape)), self.num_outputs)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.shown = {key: input_dict[key] for key in ("obs", "obs_flat", "action_mask")}
        return self.layer(input_dict["obs_flat"]), state

    def value_function(self) -> Any:
        return self.layer(self.shown["obs_flat"])[:, 0]


class Derived(FullyConnectedNetwork):
    """A user's own, though it changes nothing."""


@pytest.mark.parametrize(
    ("model", "width"),
    [(Custom, 9), (Derived, 9), (FullyConnectedNetwork, 4), (GTrXLNet, 4), ("anyspace.models:GTrXLNet", 4)],
)
def test_custom_models_see_the_whole_observation(model: Any, width: int) -> None:
    policy = inside(custom_model=model)
    assert policy.obs_space.shape == policy.model.obs_space.shape == (width,)
    if model is Custom:
        leaves = leaves_of(policy, 0, 1)
        outputs(policy, leaves)
        shown = policy.model.shown
        assert policy.model.obs_space.original_space == policy.observation_space
        np.testing.assert_array_equal(shown["obs"]["action_mask"], leaves[0])
        np.testing.assert_array_equal(shown["obs"]["observations"], leaves[1])
        np.testing.assert_array_equal(shown["obs_flat"], np.concatenate(leaves, axis=1))
        np.testing.assert_array_equal(shown["action_mask"], leaves[0] != 0)


@pytest.mark.parametrize(
    ("rest", "network"),
    [
        ("vector", "FullyConnectedNetwork"),
        ("picture", "VisionNetwork"),
        ("gray picture", "ComplexInputNetwork"),
        ("list", "ComplexInputNetwork"),
    ],
)
@pytest.mark.parametrize("preprocesses", [True, False])
def test_the_network_is_chosen_for_what_remains(rest: str, network: str, preprocesses: bool) -> None:
    space = Somewhere(RESTS[rest], MASKED["discrete"], "flat").observation_space
    config = PolicyConfig(model=ModelConfig(**SMALL), _disable_preprocessor_api=not preprocesses)
    policy = Policy(space, MASKED["discrete"], config, TorchRuntime("cpu"))
    assert type(policy.model).__name__ == network


def test_a_mask_under_another_name_is_no_feature_either() -> None:
    space = spaces.Dict(legal=spaces.MultiBinary(5), x=RESTS["vector"], y=spaces.Discrete(2))
    config = PolicyConfig(model=ModelConfig(**SMALL), action_mask_key="legal")
    policy = Policy(space, MASKED["discrete"], config, TorchRuntime("cpu"))
    assert policy.obs_space.shape == (6,)
    assert Policy(space, MASKED["discrete"], PolicyConfig(), TorchRuntime("cpu")).obs_space.shape == (11,)
    obs = {"legal": np.eye(5, dtype=np.int8)[3], "x": np.zeros(4, np.float32), "y": 1}
    assert policy.compute_single_action(obs) == 5


@pytest.mark.parametrize("kind", ["given", "learned"])
def test_parametric_actions_see_no_mask_under_another_name(kind: Any) -> None:
    given = {"avail_actions": spaces.Box(-1, 1, (5, 2))} if kind == "given" else {}
    space = spaces.Dict(legal=spaces.MultiBinary(5), cart=spaces.Box(-1, 1, (3,)), **given)
    config = PolicyConfig(model=ModelConfig(**SMALL, parametric_actions=kind), action_mask_key="legal")
    policy = Policy(space, MASKED["discrete"], config, TorchRuntime("cpu"))
    shapes = {name: value.shape for name, value in policy.runtime.parameters(policy.model).items()}
    assert shapes["base.encoder.0.weight"] == (8, 3)


def test_a_mask_is_what_a_model_sees_where_there_is_nothing_else() -> None:
    for others in ({}, {"empty": spaces.Box(-1, 1, (0,))}):
        policy = Policy(
            spaces.Dict(action_mask=spaces.MultiBinary(5), **others),
            MASKED["discrete"],
            PolicyConfig(model=ModelConfig(**SMALL)),
            TorchRuntime("cpu"),
        )
        assert policy.obs_space.shape == (5,)
        obs = {"action_mask": np.eye(5, dtype=np.int8)[1], **{key: np.zeros(0, np.float32) for key in others}}
        assert policy.compute_single_action(obs) == 3


def test_a_checkpoint_from_before_the_key_keeps_the_mask_as_a_feature(tmp_path: Path) -> None:
    def make() -> Somewhere:
        return Somewhere(RESTS["vector"], MASKED["discrete"], "flat")

    saved = PPO(make, SETTINGS, model={**SMALL, "mask_as_feature": True})
    saved.train()
    aged(saved.save(tmp_path))
    old = Algorithm.load(tmp_path, env=make)
    assert old.config.model.mask_as_feature
    assert Reader(Algorithm, trust=False).read_settings(tmp_path)[1].model.mask_as_feature
    obs = [make().reset(seed=seed)[0] for seed in range(10)]
    actions = [old.compute_single_action(one) for one in obs]
    assert actions == [saved.compute_single_action(one) for one in obs]
    for algorithm in (saved, old):
        algorithm.train()
    assert old.training_iteration == 2
    # What is saved anew says so itself, and what begins anew does not inherit it.
    assert Algorithm.load(old.save(tmp_path / "again")).config.model.mask_as_feature
    assert not PPO(make, SETTINGS).config.model.mask_as_feature
    with pytest.raises(CheckpointError, match=r"encoder.0.weight: the model has \(8, 4\), the weights have \(8, 9\)"):
        PPO(make, SETTINGS, model=SMALL).load_weights(tmp_path)
