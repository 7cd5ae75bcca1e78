"""Model files of the old stack (tests/rllib_files) in whole algorithms: only their imports were changed."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete

from anyspace import A2C, APPO, DQN, IMPALA, PPO, Algorithm
from anyspace.data.rows import Rows
from anyspace.errors import ModelError
from anyspace.models import MODEL_DEFAULTS, ModelCatalog, action_dists, catalog
from anyspace.policy.batch import Batch
from anyspace.rllib.policy.sample_batch import SampleBatch
from tests.rllib_files.action_dist import TorchSharpCategorical
from tests.rllib_files.batch_norm import TorchBatchNormModel
from tests.rllib_files.custom_losses import TorchImitatingModel, TorchReconstructingModel
from tests.rllib_files.frame_stacking import TorchFrameStackingModel
from tests.rllib_files.fully_connected import KerasDenseModel, KerasWrapper, TorchDenseModel
from tests.rllib_files.model_apis import (
    TorchContActionQModel,
    TorchDuelingQModel,
    TorchWideModel,
)
from tests.rllib_files.own_masks import OpenDoors, TorchClosedDoorsModel, TorchDoors, TorchDoorsModel
from tests.rllib_files.parametric_actions import (
    ParametricActionsModel,
    TorchActionMaskModel,
    TorchParametricActionsModel,
)
from tests.rllib_files.recurrent import TorchGRUModel, TorchLSTMModel

FILES = sorted((Path(__file__).parent / "rllib_files").glob("[a-z]*.py"))
TAXI = max(name for name in gym.registry if name.startswith("Taxi-v"))
"""Each Gymnasium has one version of it, or two."""


@pytest.fixture
def build(monkeypatch):
    """Build a PPO, and close it after the test."""
    monkeypatch.setattr(catalog, "_custom_models", {})
    monkeypatch.setattr(action_dists, "_registered", {})
    with ExitStack() as stack:

        def run(model: dict[str, Any], env: Any = "CartPole-v1", **settings: Any) -> PPO:
            small = {"train_batch_size": 128, "minibatch_size": 64, "num_epochs": 2, "lr": 1e-3, "seed": 0}
            return stack.enter_context(closing(PPO(env, config={**small, "model": model, **settings}, preset="none")))

        yield run


def weights(algorithm: PPO) -> dict[str, Any]:
    return algorithm.policy.runtime.parameters(algorithm.policy.model)


def assert_trains(algorithm: PPO, *names: str) -> dict[str, Any]:
    """Train for two iterations, and see that the named weights move."""
    before = weights(algorithm)
    algorithm.train()
    result = algorithm.train()
    after = weights(algorithm)
    for name in names:
        assert (before[name] != after[name]).any(), name
    return result


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_import_from_the_old_paths_alone(file):
    lines = re.findall(r"^[ \t]*(?:from|import) .*anyspace.*$", file.read_text(), re.MULTILINE)
    assert lines
    assert all(re.match(r"from anyspace\.rllib\.[\w.]+ import ", line) for line in lines)


# ------------------------------------------------------------------------------------- dense, recurrent


def test_a_dense_model_in_a_file_with_tensorflow(build):
    ModelCatalog.register_custom_model("dense", TorchDenseModel)
    algorithm = build({"custom_model": "dense", "fcnet_hiddens": [16], "vf_share_layers": True})
    result = assert_trains(
        algorithm,
        "torch_sub_model.encoder.0.weight",
        "torch_sub_model.logits.weight",
        "torch_sub_model.value_head.weight",
    )
    assert result["learner"]["ratio_error"] < 1e-5
    assert algorithm.compute_single_action(np.zeros(4, np.float32)) in (0, 1)


def test_a_checkpoint_brings_such_a_model_back(build, tmp_path):
    algorithm = build({"custom_model": TorchDenseModel, "fcnet_hiddens": [16]})
    algorithm.train()
    loaded = Algorithm.load(algorithm.save(tmp_path))
    assert type(loaded.policy.model) is TorchDenseModel
    obs = np.linspace(-0.2, 0.2, 32, dtype=np.float32).reshape(8, 4)
    before, after = (algo.compute_actions(obs, explore=True) for algo in (algorithm, loaded))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("model", [KerasDenseModel, KerasWrapper])
def test_the_tensorflow_models_of_that_file_explain_themselves(build, model):
    ModelCatalog.register_custom_model("keras", model)
    with pytest.raises(ModelError, match=rf"{model.__name__} is no model of framework 'torch'.*TorchModelV2"):
        build({"custom_model": "keras"})


@pytest.mark.parametrize("env", ["CartPole-v1", TAXI])
def test_a_recurrent_model(build, env):
    model = {"custom_model": TorchLSTMModel, "max_seq_len": 7}
    model["custom_model_config"] = {"fc_size": 8, "lstm_state_size": 16}
    algorithm = build(model, env, num_envs_per_env_runner=2)
    result = assert_trains(algorithm, "fc1.weight", "lstm.weight_hh_l0", "action_branch.weight", "value_branch.weight")
    # What was learnt from are the very steps that were acted on.
    assert result["learner"]["ratio_error"] < 1e-5
    obs = algorithm.policy.observation_space.sample()
    # Taxi's infos hold masks.
    _, state = algorithm.compute_single_action(obs, mask=False)
    algorithm.compute_single_action(obs, state, mask=False)
    assert algorithm.evaluate(1)["episodes"] == 1


@pytest.mark.spec(106)
@pytest.mark.parametrize("time_major", [False, True])
def test_a_recurrent_model_that_adds_the_axis_of_time_itself(build, time_major):
    model = {"custom_model": TorchGRUModel, "max_seq_len": 7, "_time_major": time_major}
    algorithm = build(model, TAXI, num_envs_per_env_runner=2)
    result = assert_trains(algorithm, "gru.weight_ih_l0", "gru.weight_hh_l0", "logits._model.0.weight")
    assert result["learner"]["ratio_error"] < 1e-5


# ---------------------------------------------------------------------------------------------- views


class Diary(gym.Env[Any, Any]):
    """Writes down all that happens. Observed are the environment's number, the episode and the step."""

    observation_space = Box(-1e3, 1e3, (3,))
    action_space = Discrete(4)
    pages: ClassVar[dict[tuple[int, int], list[tuple[int, float]]]] = {}
    """(number, episode) -> the actions and rewards of its steps."""
    count = 0

    def __init__(self) -> None:
        Diary.count += 1
        self.number, self.episode = Diary.count, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.episode += 1
        self.page: list[tuple[int, float]] = []
        Diary.pages[self.number, self.episode] = self.page
        return self.observe(), {}

    def observe(self) -> Any:
        return np.array([self.number, self.episode, len(self.page)], np.float32)

    def step(self, action: Any) -> Any:
        reward = 1 + self.episode + 0.5 * len(self.page) + 0.25 * float(action)
        self.page.append((int(action), reward))
        over, terminates = len(self.page) == 7, self.episode % 2 == 0
        return self.observe(), reward, over and terminates, over and not terminates, {}


class Spy(TorchFrameStackingModel):
    """Keeps every row that it is shown, and whether it is to learn from it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen: list[tuple[bool, int, Any]] = []

    def forward(self, input_dict, states, seq_lens):
        columns = [input_dict[name].numpy() for name in ("obs", "prev_n_obs", "prev_n_actions", "prev_n_rewards")]
        for row in zip(*columns, strict=True):
            self.seen.append((bool(input_dict["is_training"]), len(columns[0]), row))
        return super().forward(input_dict, states, seq_lens)


def as_the_diary_has_it(obs: Any) -> tuple[list[list[float]], list[int], list[float]]:
    """Return the three last observations, actions and rewards that belong to an observation."""
    number, episode, t = map(int, obs)
    page = [(0, 0.0)] * 3 + Diary.pages[number, episode]
    actions, rewards = zip(*page[t : t + 3], strict=True)
    return [[number, episode, max(0, t - back)] for back in (2, 1, 0)], list(actions), list(rewards)


@pytest.mark.spec(127, 128, 130, 131, 132)
def test_views_show_when_learning_what_they_showed_when_acting(build):
    algorithm = build({"custom_model": Spy}, Diary, num_envs_per_env_runner=2, train_batch_size=24, minibatch_size=8)
    model = algorithm.policy.model
    model.seen.clear()
    # 12 steps of each environment: fragments end within episodes of 7.
    algorithm.train()
    first = list(model.seen)
    model.seen.clear()
    algorithm.train()
    assert_rows_are_right(first, epochs=2)
    assert_rows_are_right(model.seen, epochs=2)
    # The second fragment's first rows look back into the first.
    acted = [row for training, rows, row in model.seen if rows == 2 and not training]
    assert all(row[0][2] == 5 and (row[2] >= 0).all() and (row[3] > 0).all() for row in acted[:2])


def assert_rows_are_right(seen: Any, epochs: int) -> None:
    for _, _, (obs, observations, actions, rewards) in seen:
        assert (observations.tolist(), actions.tolist(), rewards.tolist()) == as_the_diary_has_it(obs)
    learnt = [tuple(row[0]) for training, _, row in seen if training]
    acted = [tuple(row[0]) for training, rows, row in seen if rows == 2 and not training]
    evaluated = {tuple(row[0]) for _, _, row in seen}
    assert len(acted) == 24
    assert sorted(learnt) == sorted(acted * epochs)
    # Values are asked for of what episodes led to, too, which nobody acts on.
    assert {t for _, _, t in evaluated - set(acted)} >= {7}


def test_acting_by_hand_sees_the_same(build):
    algorithm = build({"custom_model": Spy}, Diary, train_batch_size=24, minibatch_size=8)
    model, env, state, reward = algorithm.policy.model, Diary(), None, None
    model.seen.clear()
    obs, _ = env.reset()
    for _ in range(5):
        action, state = algorithm.compute_single_action(obs, state, prev_reward=reward)
        obs, reward, *_ = env.step(action)
    assert len(model.seen) == 5
    for _, _, (now, observations, actions, rewards) in model.seen:
        assert (observations.tolist(), actions.tolist(), rewards.tolist()) == as_the_diary_has_it(now)


@pytest.mark.spec(132)
def test_the_frame_stacking_model_learns_cartpole(build):
    algorithm = build(
        {"custom_model": TorchFrameStackingModel},
        num_envs_per_env_runner=8,
        train_batch_size=1024,
        minibatch_size=256,
        num_epochs=4,
        lambda_=0.95,
    )
    first = algorithm.train()["episode_return_mean"]
    for _ in range(7):
        algorithm.train()
    assert first < 40
    assert algorithm.evaluate(10)["episode_return_mean"] > 2 * first


# --------------------------------------------------------------------------------------- distributions


@pytest.mark.spec(144)
def test_a_distribution_of_ones_own(build):
    ModelCatalog.register_custom_action_dist("sharp", TorchSharpCategorical)
    model = {"custom_action_dist": "sharp", "custom_model": TorchDenseModel, "fcnet_hiddens": [16]}
    algorithms = [build(model, entropy_coeff=0.01, kl_coeff=0.5) for _ in range(2)]
    results = [assert_trains(algorithm, "torch_sub_model.logits.weight") for algorithm in algorithms]
    assert algorithms[0].policy.model.num_outputs == 3
    assert results[0]["learner"]["ratio_error"] < 1e-5
    assert 0 < results[0]["learner"]["kl"] < 0.1
    assert 0.1 < results[0]["learner"]["entropy"] <= np.log(2)
    # Its samples come from the policy's own source: the seed decides them.
    first, second = map(weights, algorithms)
    assert all((first[name] == second[name]).all() for name in first)

    dist = algorithms[0].policy.distribution(torch.tensor([[1.0, 0.0, 5.0]]))
    torch.testing.assert_close(dist.logp(torch.tensor([0])), torch.tensor([-np.log1p(np.exp(-2.0))]), check_dtype=False)
    assert dist.deterministic_sample() == 0


def test_that_distribution_reads_the_models_configuration(build):
    model = {"custom_action_dist": TorchSharpCategorical, "custom_model": TorchWideModelWithValue}
    model["custom_model_config"] = {"largest_sharpness": 3.0}
    with pytest.warns(UserWarning, match="does not take 'largest_sharpness'"):
        algorithm = build(model)
    dist = algorithm.policy.distribution(torch.tensor([[1.0, 0.0, 5.0]]))
    torch.testing.assert_close(dist.dist.logits[0, 0] - dist.dist.logits[0, 1], torch.tensor(3.0))


class TorchWideModelWithValue(TorchWideModel):
    def value_function(self):
        return self._last_output[:, 0]


# --------------------------------------------------------------------------------------------- losses


class Expert:
    """Recorded steps of one who pushes the cart to where the pole falls."""

    def __init__(self, rows: int = 256):
        rng = np.random.default_rng(0)
        self.obs = rng.uniform(-0.2, 0.2, (rows, 4)).astype(np.float32)
        self.actions = (self.obs[:, 2] + 0.5 * self.obs[:, 3] > 0).astype(np.int64)
        self.calls = 0

    def next(self) -> SampleBatch:
        self.calls += 1
        return SampleBatch({SampleBatch.OBS: self.obs, SampleBatch.ACTIONS: self.actions})

    def accuracy(self, algorithm: PPO) -> float:
        return float((algorithm.compute_actions(self.obs) == self.actions).mean())


@pytest.mark.spec(147)
def test_imitation_drives_accuracy_on_the_experts_steps_up(build):
    accuracies = {}
    for coefficient in (10.0, 0.0):
        expert = Expert()
        model = {"custom_model": TorchImitatingModel, "fcnet_hiddens": [32]}
        model["custom_model_config"] = {"reader": expert, "imitation_coeff": coefficient}
        algorithm = build(model, lr=1e-2)
        assert 0.2 < expert.accuracy(algorithm) < 0.8
        losses = [algorithm.train()["learner"]["model"] for _ in range(8)]
        assert expert.calls == 8 * 4
        assert set(losses[0]) == {"policy_loss", "imitation_loss"}
        accuracies[coefficient] = expert.accuracy(algorithm)
        if coefficient:
            assert losses[-1]["imitation_loss"] < 0.7 * losses[0]["imitation_loss"]
    assert accuracies[10.0] > 0.95 > accuracies[0.0] + 0.1


@pytest.mark.spec(152)
def test_reconstruction_and_weight_losses_go_down_beside_the_policys(build):
    settings = {"custom_model": TorchReconstructingModel, "custom_model_config": {"l2_coeff": 1e-2}}
    algorithm = build(settings, lr=3e-3)
    results = [algorithm.train()["learner"] for _ in range(8)]
    first, last = (results[i]["model"] for i in (0, -1))
    assert last["reconstruction_loss"] < 0.6 * first["reconstruction_loss"]
    assert last["l2_loss"] < 0.9 * first["l2_loss"]
    assert all(np.isfinite(result["policy_loss"]) for result in results)


# --------------------------------------------------------------------------------- batch normalisation


@pytest.mark.spec(114)
def test_batch_normalisation_by_is_training(build):
    algorithm = build({"custom_model": TorchBatchNormModel, "custom_model_config": {"left": "over"}})
    norm = algorithm.policy.model._hidden_layers[1]
    assert int(norm.num_batches_tracked) == 0
    assert_trains(algorithm, "_logits._model.0.weight", "_hidden_layers.1.weight", "_hidden_layers.1.running_mean")
    # Two iterations of two epochs of two minibatches.
    assert int(norm.num_batches_tracked) == 2 * 2 * 2
    algorithm.compute_single_action(np.zeros(4, np.float32), explore=True)
    algorithm.evaluate(1)
    assert int(norm.num_batches_tracked) == 2 * 2 * 2
    assert not norm.training


# ---------------------------------------------------------------------------------- parametric actions


class Doors(gym.Env[Any, Any]):
    """Two of five doors are open, told by a mask; the one whose embedding agrees with the observation pays."""

    observation_space = Dict(
        action_mask=Box(0, 1, (5,), np.int8), avail_actions=Box(-9, 9, (5, 2)), real_obs=Box(-9, 9, (3,))
    )
    action_space = Discrete(5)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def observe(self) -> Any:
        self.open = self.np_random.permutation(5)[:2]
        mask, embeddings = np.zeros(5, np.int8), np.zeros((5, 2), np.float32)
        mask[self.open] = 1
        embeddings[self.open] = [[1, 0], [0, 1]]
        self.right = self.np_random.integers(2)
        return {"action_mask": mask, "avail_actions": embeddings, "real_obs": np.float32([self.right, 1, 0])}

    def step(self, action: Any) -> Any:
        if action not in self.open:
            raise ValueError(f"door {action} is closed")
        reward = float(action == self.open[self.right])
        self.t += 1
        return self.observe(), reward, False, self.t == 16, {}


def test_a_model_of_embeddings_finds_the_right_door(build):
    model = {"custom_model": TorchParametricActionsModel, "fcnet_hiddens": [16]}
    model["custom_model_config"] = {"action_embed_size": 2, "true_obs_shape": (3,)}
    algorithm = build(model, Doors, lr=1e-2, gamma=0.5, kl_coeff=0.0, num_epochs=4, num_envs_per_env_runner=4)
    for _ in range(20):
        result = algorithm.train()
    assert result["learner"]["ratio_error"] < 1e-5
    assert algorithm.evaluate(5)["episode_return_mean"] > 14


def test_a_model_of_masks_leaves_closed_doors_alone(build):
    model = {"custom_model": TorchActionMaskModel, "fcnet_hiddens": [16]}
    algorithm = build(model, Doors)
    assert_trains(algorithm, "internal_model.logits.weight")
    leaves = [leaf[None] for leaf in algorithm.policy.encode.single(Doors().reset(seed=0)[0])]
    outputs = algorithm.policy.evaluate(Batch(obs=[torch.from_numpy(leaf) for leaf in leaves])).output
    assert (outputs < -1e38).sum() == 3
    with pytest.warns(UserWarning, match="does not take 'no_masking'"):
        algorithm = build({**model, "custom_model_config": {"no_masking": True}}, Doors)
    # The distribution is handed the mask all the same.
    assert_trains(algorithm, "internal_model.logits.weight")


def test_the_tensorflow_model_of_that_file_explains_itself(build):
    with pytest.raises(ModelError, match="ParametricActionsModel is no model of framework 'torch'"):
        build({"custom_model": ParametricActionsModel}, Doors)


# ------------------------------------------------------------------------------------------ interfaces

OBS, CHOICES, PUSH = Box(-1, 1, (4,)), Discrete(3), Box(-1, 1, (2,))


@pytest.mark.spec(117, 118)
def test_dueling_q_values_on_the_default_model():
    model = ModelCatalog.get_model_v2(
        obs_space=OBS,
        action_space=CHOICES,
        num_outputs=CHOICES.n,
        model_config=MODEL_DEFAULTS,
        framework="torch",
        model_interface=TorchDuelingQModel,
        name="dueling_q_model",
    )
    assert type(model).__name__ == "FullyConnectedNetwork_as_TorchDuelingQModel"
    assert model.num_outputs == 256
    input_dict = SampleBatch({"obs": torch.from_numpy(np.array([OBS.sample() for _ in range(10)]))})
    out, _ = model([input_dict])
    assert out.shape == (10, 256)
    q_values = model.get_q_values(out)
    v, a = model.V(out), model.A(out)
    torch.testing.assert_close(q_values, v + a - a.mean(1, keepdim=True))
    assert q_values.shape == (10, 3)


@pytest.mark.spec(119)
def test_the_q_value_of_one_action_on_the_default_model():
    model = ModelCatalog.get_model_v2(
        OBS, PUSH, 2, MODEL_DEFAULTS, model_interface=TorchContActionQModel, name="cont_action_q_model"
    )
    out, _ = model([{"obs": torch.ones(5, 4)}])
    action = torch.from_numpy(np.array([PUSH.sample() for _ in range(5)]))
    q_value = model.get_single_q_value(out, action)
    assert q_value.shape == (5, 1)
    torch.testing.assert_close(q_value, model.q_head({"obs": torch.cat([out, action], 1)})[0])
    assert not torch.equal(q_value, model.get_single_q_value(out, -action))
    gradients = torch.autograd.grad(q_value.sum(), [*model.encoder.parameters()])
    assert all(gradient.any() for gradient in gradients)


@pytest.mark.spec(120)
def test_interfaces_on_custom_models():
    config = {"custom_model": TorchWideModel, "custom_model_config": {"width": 7}}
    model = ModelCatalog.get_model_v2(OBS, CHOICES, 3, config, model_interface=TorchDuelingQModel)
    out, _ = model({"obs": torch.zeros(5, 4)})
    assert (out.shape, model.get_q_values(out).shape) == ((5, 7), (5, 3))


@pytest.mark.spec(121)
@pytest.mark.parametrize("custom", [{}, {"custom_model": TorchWideModel}], ids=["default", "custom"])
def test_interfaces_on_memories(custom):
    config = {"use_lstm": True, "lstm_cell_size": 12, **custom}
    model = ModelCatalog.get_model_v2(OBS, CHOICES, 3, config, model_interface=TorchDuelingQModel)
    assert type(model).__name__.endswith("_as_TorchDuelingQModel")
    states = {f"state_in_{i}": torch.zeros(2, 12) for i in range(2)}
    out, states_out = model({"obs": torch.ones(6, 4), **states, "seq_lens": torch.tensor([3, 2])})
    assert (out.shape, model.get_q_values(out).shape) == ((6, 12), (6, 3))
    assert [state.shape for state in states_out] == [(2, 12)] * 2


@pytest.mark.parametrize("kind", [PPO, A2C, IMPALA, APPO])
def test_a_distribution_reads_what_the_model_kept_of_the_same_rows(kind):
    """Closed doors have no probability, in any pass: the observations after fragments are not among the rows."""
    model = {"custom_model": TorchDoorsModel, "custom_action_dist": TorchDoors}
    with closing(
        kind(OpenDoors, model=model, train_batch_size=60, num_envs_per_env_runner=2, seed=0, preset="none")
    ) as one:
        found = [one.train() for _ in range(3)]
        trajectory = one.fleet.gather(30)
        evaluated = Rows(one.policy, trajectory).evaluate()
        mask = np.concatenate(list(trajectory.obs[0][:-1]))
        assert (np.asarray(evaluated.distribution.inputs)[mask == 0] < -1e8).all()
        assert (np.asarray(evaluated.distribution.inputs)[mask == 1] > -1e8).all()
    assert found[-1]["episode_return_mean"] == 9
    if kind is PPO:
        assert all(result["learner"]["ratio_error"] < 1e-4 for result in found)


@pytest.mark.parametrize("more", [{}, {"custom_model_config": {"no_masking": True}}])
def test_random_actions_keep_to_what_the_model_leaves(more):
    """The environment would raise; what the constructor does not take is left to the model's configuration."""
    model = {"custom_model": TorchClosedDoorsModel, **more}
    settings = {"dueling": False, "hiddens": [], "num_steps_sampled_before_learning_starts": 200, "seed": 0}
    with ExitStack() as stack:
        if more:
            stack.enter_context(pytest.warns(UserWarning, match="does not take 'no_masking'"))
        one = stack.enter_context(closing(DQN(OpenDoors, model=model, train_batch_size=8, preset="none", **settings)))
        assert one.policy.model.model_config["custom_model_config"] == more.get("custom_model_config", {})
        one.learn(400, progress=False)
