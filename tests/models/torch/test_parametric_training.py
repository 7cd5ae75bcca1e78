"""Actions told by their embeddings, through PPO: with every memory, kind of observation and way to act."""

from __future__ import annotations

from contextlib import ExitStack, closing

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Tuple
from torch import nn

from anyspace import PPO
from anyspace.algorithms.on_policy import gae, training_rows
from anyspace.models import FullyConnectedNetwork, TorchModelV2, ViewRequirement
from anyspace.models.torch import (
    AttentionWrapper,
    ComplexInputNetwork,
    ParametricActionsModel,
    RecurrentWrapper,
)
from anyspace.policy.batch import Batch
from anyspace.spaces import Repeated, restore_original_dimensions
from tests.support.tasks import ParametricCartPole
from tests.support.thinned import thinned

FLAT = Dict(x=Box(-9, 9, (3,)), kind=Discrete(3, start=4))
NESTED = Dict(
    inner=Tuple((Box(-1, 1, (2,)), Dict(kind=Discrete(3)))),
    crowd=Repeated(Dict(place=Box(-1, 1, (2,)), kind=Discrete(2)), 3),
    word=Box(-1, 1, (2, 3)),
)
PICTURE = Dict(seen=Box(0, 255, (10, 10, 3), np.uint8), speed=Box(-1, 1, (1,)))
LSTM = {"use_lstm": True, "lstm_cell_size": 6}
ATTENTION = {
    "use_attention": True,
    "attention_dim": 6,
    "attention_head_dim": 4,
    "attention_memory_inference": 4,
    "attention_memory_training": 4,
    "attention_position_wise_mlp_dim": 4,
}
CONVOLUTIONS = {"conv_filters": [[4, 4, 2], [6, 4, 1]]}


class Shop(gym.Env):
    """One to five offers are open at a time; to take a closed one is an error. Episodes last 3 to 8 steps.

    With ``embedded`` the observation tells offers by embeddings, zero for closed ones; the first number of an embedding
    is what its offer earns. Otherwise every offer earns 1.
    """

    action_space = Discrete(5, start=2)

    def __init__(self, rest=FLAT, embedded=True, in_info=False):
        self.embedded, self.in_info, self.counts = embedded, in_info, set()
        parts = dict(rest.items())
        if embedded:
            parts["avail_actions"] = Box(-1, 1, (5, 2))
        if not in_info:
            parts["action_mask"] = MultiBinary(5)
        self.observation_space = Dict(parts)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self.left = int(self.np_random.integers(3, 9))
        return self.draw()

    def draw(self):
        count = int(self.np_random.integers(1, 6))
        self.counts.add(count)
        self.mask = self.np_random.permutation(np.arange(5) < count).astype(np.int8)
        self.obs = self.observation_space.sample()
        if self.embedded:
            self.obs["avail_actions"] *= self.mask[:, None]
        if self.in_info:
            return self.obs, {"action_mask": self.mask}
        return {**self.obs, "action_mask": self.mask}, {}

    def step(self, action):
        if not self.mask[action - 2]:
            raise ValueError(f"offer {action} is closed: {self.mask}")
        reward = float(self.obs["avail_actions"][action - 2, 0]) if self.embedded else 1.0
        self.left -= 1
        obs, info = self.draw()
        return obs, reward, self.left == 0, False, info


@pytest.fixture
def trained():
    """Build a PPO, train two iterations of one gradient step, and close it after the test."""
    with ExitStack() as stack:

        def run(env, kind="given", *, settings=None, **model):
            small = {"train_batch_size": 48, "minibatch_size": 48, "num_epochs": 1, "entropy_coeff": 0.01, "seed": 0}
            memory = {"max_seq_len": 5} if {"use_lstm", "use_gru", "use_attention"} & model.keys() else {}
            config = {"parametric_actions": kind, "fcnet_hiddens": [8], **memory, **model}
            algorithm = stack.enter_context(closing(PPO(env, small, model=config, **(settings or {}), preset="none")))
            assert isinstance(algorithm.policy.model, ParametricActionsModel)
            for _ in range(2):
                before = algorithm.policy.runtime.parameters(algorithm.policy.model)
                learner = algorithm.train()["learner"]
                assert np.isfinite([value for name, value in learner.items() if name != "model"]).all()
                assert learner["ratio_error"] <= 1e-5
            after = algorithm.policy.runtime.parameters(algorithm.policy.model)
            # Nobody asks for the value of a model beneath a memory.
            assert all((before[name] != after[name]).any() for name in before if "base.base.value_head" not in name)
            return algorithm

        yield run


def stepping_equals_the_unrolled_pass(algorithm):
    policy, outputs = algorithm.policy, []
    forward = policy.model.forward

    def kept(input_dict, state, seq_lens):
        output, new = forward(input_dict, state, seq_lens)
        outputs.append(output.detach().numpy().copy())
        return output, new

    policy.model.forward = kept
    trajectory = algorithm.fleet.gather(30)
    acted = np.concatenate(outputs[: len(trajectory.valid)])
    batch = training_rows(policy, trajectory, gae(gamma=0.9, lambda_=0.9))
    np.testing.assert_allclose(batch["action_dist_inputs"], acted[trajectory.valid[:, 0]], atol=1e-5)


CASES = {
    "one network": (FLAT, {"vf_share_layers": True}, FullyConnectedNetwork),
    "a value of its own": (FLAT, {"vf_share_layers": False}, FullyConnectedNetwork),
    "lstm": (FLAT, {**LSTM, "lstm_use_prev_action": True, "lstm_use_prev_reward": True}, RecurrentWrapper),
    "lstm time major": (FLAT, {**LSTM, "_time_major": True}, RecurrentWrapper),
    "gru": (FLAT, {"use_gru": True, "lstm_cell_size": 6}, RecurrentWrapper),
    "attention": (FLAT, {**ATTENTION, "attention_use_n_prev_actions": 2}, AttentionWrapper),
    "nested": (NESTED, {}, ComplexInputNetwork),
    "nested lstm": (NESTED, LSTM, RecurrentWrapper),
    "picture": (PICTURE, CONVOLUTIONS, ComplexInputNetwork),
    "picture attention": (PICTURE, {**CONVOLUTIONS, **ATTENTION}, AttentionWrapper),
}


@thinned(2, case=CASES, kind=["given", "learned"])
def test_it_lies_on_every_model(trained, case, kind):
    rest, model, base = CASES[case]
    algorithm = trained(lambda: Shop(rest, embedded=kind == "given"), kind, **model)
    assert type(algorithm.policy.model.base) is base
    stepping_equals_the_unrolled_pass(algorithm)


@thinned(2, case=["one network", "lstm", "nested", "picture"], kind=["given", "learned"])
def test_without_preprocessing(trained, case, kind):
    rest, model, _ = CASES[case]
    settings = {"_disable_preprocessor_api": True}
    algorithm = trained(lambda: Shop(rest, embedded=kind == "given"), kind, settings=settings, **model)
    assert algorithm.policy.model.base.obs_space == rest
    stepping_equals_the_unrolled_pass(algorithm)


@thinned(2, case=["one network", "lstm", "nested"], kind=["given", "learned"])
def test_with_an_observation_filter(trained, case, kind):
    rest, model, _ = CASES[case]
    settings = {"observation_filter": "MeanStdFilter"}
    algorithm = trained(lambda: Shop(rest, embedded=kind == "given"), kind, settings=settings, **model)
    assert algorithm.policy.filter.active
    stepping_equals_the_unrolled_pass(algorithm)


def test_a_filter_leaves_given_embeddings_as_they_are(trained):
    policy = trained(Shop, settings={"observation_filter": "MeanStdFilter"}).policy
    obs, _ = Shop().reset(seed=0)
    seen = policy.model_inputs([policy.runtime.asarray(leaf[None]) for leaf in policy.encode.single(obs)])["obs"]
    np.testing.assert_array_equal(seen["avail_actions"][0], obs["avail_actions"])
    assert (seen["x"][0].numpy() != obs["x"]).all()


@pytest.mark.parametrize("kind", ["given", "learned"])
def test_masks_may_come_in_infos(trained, kind):
    algorithm = trained(lambda: Shop(embedded=kind == "given", in_info=True), kind)
    stepping_equals_the_unrolled_pass(algorithm)


def test_embeddings_go_without_masks(trained):
    class Open(Shop):
        def draw(self):
            obs, _ = super().draw()
            self.mask = np.ones(5)
            return obs, {}

    algorithm = trained(lambda: Open(in_info=True))
    obs = algorithm.policy.observation_space.sample()
    assert algorithm.compute_single_action(obs) in range(2, 7)


@pytest.mark.spec(162)
def test_the_number_of_actions_may_vary_up_to_the_largest(trained):
    envs = [Shop(), Shop()]
    makers = iter(envs)
    algorithm = trained(lambda: next(makers), settings={"num_envs_per_env_runner": 2})
    assert [env.counts for env in envs] == [{1, 2, 3, 4, 5}] * 2
    trajectory = algorithm.fleet.gather(96)
    policy, rows = algorithm.policy, trajectory.all_obs()
    tensors = [policy.runtime.asarray(leaf) for leaf in rows]
    mask = policy.masking.find(tensors)
    assert set(mask.sum(dim=1).tolist()) == {1, 2, 3, 4, 5}
    probs = policy.evaluate(Batch(obs=tensors, action_mask=mask), value=False).distribution.probs
    assert not probs[~mask].any()
    assert (probs[mask] > 0).all()


@pytest.mark.spec(161)
def test_learnt_embeddings_train_and_id_0_has_no_part_in_it(trained):
    settings = {"train_batch_size": 64, "minibatch_size": 64, "num_epochs": 2, "lr": 0.01, "seed": 0}
    model = {"parametric_actions": "learned", "action_embedding_dim": 3, "fcnet_hiddens": [8]}
    with closing(
        PPO(ParametricCartPole, settings, env_config={"embedded": False}, model=model, preset="none")
    ) as algorithm:
        before = algorithm.policy.model.embeddings.weight.detach().clone()
        algorithm.train()
        changed = (algorithm.policy.model.embeddings.weight != before).any(dim=1)
    # Actions 2 and 7 are open all the time, and their ids are one more.
    assert changed.nonzero()[:, 0].tolist() == [3, 8]


@pytest.mark.parametrize("kind", ["given", "learned"])
@pytest.mark.parametrize("case", ["one network", "lstm"])
def test_what_was_saved_acts_alike(trained, case, kind, tmp_path):
    rest, model, _ = CASES[case]
    env = Shop(rest, embedded=kind == "given")
    algorithm = trained(lambda: Shop(rest, embedded=kind == "given"), kind, **model)
    loaded = PPO.load(algorithm.save(tmp_path))
    states = [None, None]
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        actions = []
        for i, each in enumerate((algorithm, loaded)):
            answer = each.compute_single_action(obs, states[i], prev_reward=1.0)
            action, states[i] = answer if isinstance(answer, tuple) else (answer, None)
            actions.append(action)
        assert actions[0] == actions[1]
        assert env.mask[actions[0] - 2]


class Beneath(TorchModelV2, nn.Module):
    """A custom model that looks at observations in every way there is."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, *, scale):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.scale, self.hidden, self.value = scale, nn.Linear(6, num_outputs), nn.Linear(6, 1)
        self.view_requirements["earlier"] = ViewRequirement("obs", shift="-2:-1")
        self.view_requirements["new_obs"] = ViewRequirement(used_for_compute_actions=False)

    def forward(self, input_dict, state, seq_lens):
        self.shown = {name: input_dict[name] for name in input_dict}
        self.flat = input_dict["obs_flat"]
        return self.hidden(self.scale * self.flat), state

    def value_function(self):
        return self.value(self.flat)[:, 0]

    def custom_loss(self, policy_loss, loss_inputs):
        for name in ("obs", "new_obs", "earlier"):
            restored = restore_original_dimensions(loss_inputs[name], self.obs_space)
            assert list(restored) == ["kind", "x"]
        self.agreement = (loss_inputs["obs"] == self.flat).float().mean().item()
        return policy_loss

    def metrics(self):
        return {"agreement": self.agreement}


@pytest.mark.parametrize("kind", ["given", "learned"])
def test_a_custom_model_beneath_sees_the_rest_in_inputs_views_and_losses(trained, kind):
    model = {"custom_model": Beneath, "custom_model_config": {"scale": 2.0}, "always_check_shapes": True}
    algorithm = trained(lambda: Shop(embedded=kind == "given"), kind, **model)
    base = algorithm.policy.model.base
    assert (type(base), base.scale, base.num_outputs) == (Beneath, 2.0, 2 if kind == "given" else 16)
    shapes = {name: tuple(value.shape[1:]) for name, value in base.shown.items() if name not in ("obs", "is_training")}
    assert shapes == {"obs_flat": (6,), "earlier": (2, 6), "new_obs": (6,), "action_mask": (5,)}
    assert list(base.shown["obs"]) == ["kind", "x"]
    assert algorithm.train()["learner"]["model"] == {"agreement": 1.0}
