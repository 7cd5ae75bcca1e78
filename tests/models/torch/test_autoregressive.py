"""The masked network, and policies whose parts of an action depend on each other."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from torch import nn

from anyspace import PPO, Algorithm, tree
from anyspace.distributions import AutoregressiveActions
from anyspace.errors import ConfigError, ModelError
from anyspace.execution.learner import Result
from anyspace.models import ModelCatalog, ModelConfig, TorchModelV2
from anyspace.models.torch.autoregressive import MaskedActionNetwork, attach_action_network
from anyspace.spaces import Simplex
from tests.support.catalogue import ACTION_SPACES

OBS = Box(-1, 1, (4,))
PAIR = Tuple((Discrete(3), Discrete(2)))
FAST: dict[str, Any] = {
    "train_batch_size": 64,
    "minibatch_size": 32,
    "num_epochs": 2,
    "seed": 0,
    "model": {"fcnet_hiddens": [8], "autoregressive_actions": True},
}


def number_of_parts(space: gym.Space[Any]) -> int:
    if isinstance(space, Dict | Tuple):
        return sum(map(number_of_parts, space.spaces.values() if isinstance(space, Dict) else space.spaces))
    if isinstance(space, Discrete | Simplex) or (isinstance(space, Box) and space.dtype.kind == "f"):
        return 1
    return int(np.prod(space.shape))


SEVERAL = [name for name, space in ACTION_SPACES.items() if number_of_parts(space) > 1]
ALONE = [name for name, space in ACTION_SPACES.items() if number_of_parts(space) == 1]


def shaken(model: Any, size: float = 0.5) -> Any:
    """Move all weights, so that nothing is near 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return model


def model_of(space: gym.Space[Any], **config: Any) -> tuple[Any, TorchModelV2]:
    """Return what builds the distribution of a space, and a model for it."""
    settings = {"autoregressive_actions": True, "fcnet_hiddens": [16], **config}
    factory, size = ModelCatalog.get_action_dist(space, settings)
    return factory, ModelCatalog.get_model_v2(OBS, space, size, settings)  # type: ignore[return-value]


# ------------------------------------------------------------------------------------------ the network


@pytest.mark.parametrize(
    ("encodings", "parameters"), [([3, 2], [3, 2]), ([2] * 9, [2] * 9), ([4, 3, 1, 2], [4, 6, 2, 2])], ids=str
)
def test_a_part_is_made_from_the_context_and_all_parts_before_it_and_nothing_else(
    encodings: list[int], parameters: list[int]
) -> None:
    network = shaken(MaskedActionNetwork(5, encodings, parameters))
    generator = torch.Generator().manual_seed(1)
    context = torch.randn(4, 5, generator=generator, requires_grad=True)
    encoded = torch.randn(4, sum(encodings), generator=generator, requires_grad=True)
    for part, outputs in enumerate(network(context, encoded).split(parameters, dim=1)):
        by_context, by_encoded = torch.autograd.grad(outputs.square().sum(), (context, encoded), retain_graph=True)
        before = sum(encodings[:part])
        assert (by_context != 0).all()
        assert (by_encoded[:, :before] != 0).all()
        assert (by_encoded[:, before:] == 0).all()


def test_what_is_masked_is_never_learnt() -> None:
    network = MaskedActionNetwork(5, [3, 2, 2], [3, 2, 2])
    network(torch.ones(2, 5), torch.ones(2, 7)).square().sum().backward()
    for masked in (network.actions, network.output):
        assert (masked.weight.grad[masked.mask == 0] == 0).all()
        assert (masked.weight.grad[masked.mask == 1] != 0).any()


def test_sizes_and_first_weights() -> None:
    network = MaskedActionNetwork(40, [3, 2], [3, 2])
    assert [tuple(p.shape) for p in network.parameters()] == [(5,), (40, 40), (40,), (40, 5), (5, 40)]
    assert MaskedActionNetwork(4, [2] * 10, [2] * 10).context.weight.shape == (80, 4)
    torch.testing.assert_close(network.context.weight.norm(dim=1), torch.ones(40))
    sees = network.actions.mask.any(1)
    torch.testing.assert_close(network.actions().norm(dim=1)[sees], torch.ones(int(sees.sum())))
    torch.testing.assert_close(network.output().norm(dim=1), torch.full((5,), 0.01))
    assert (network.bias == 0).all()
    assert not any("mask" in name for name in network.state_dict())


def test_the_same_weights_serve_arrays() -> None:
    network = shaken(MaskedActionNetwork(5, [3, 2], [3, 2]))
    rng = np.random.default_rng(0)
    context, encoded = (rng.normal(size=shape).astype(np.float32) for shape in ((6, 5), (2, 6, 5)))
    ours = network(context, encoded)
    assert isinstance(ours, np.ndarray)
    assert ours.dtype == np.float32
    expected = network(torch.from_numpy(context), torch.from_numpy(encoded)).detach().numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SEVERAL)
def test_the_first_policy_is_nearly_uniform(name: str) -> None:
    torch.manual_seed(0)
    factory, model = model_of(ACTION_SPACES[name])
    largest = []
    model.action_network.register_forward_hook(lambda _, inputs, output: largest.append(output.abs().max()))
    factory(model({"obs": torch.randn(50, 4)})[0], model).sample()
    assert 0 < max(largest) < 0.06


# ------------------------------------------------------------------------------------- the configuration


@pytest.mark.parametrize(("hiddens", "post", "width"), [([32, 16], [], 16), ([32], [24], 24), ([], [], 64)], ids=str)
def test_the_context_is_as_wide_as_the_last_layer(hiddens: list[int], post: list[int], width: int) -> None:
    factory, model = model_of(PAIR, fcnet_hiddens=hiddens, post_fcnet_hiddens=post)
    assert factory.func is AutoregressiveActions
    assert model.num_outputs == width
    assert model.action_network.context.in_features == width


def test_without_the_key_nothing_is_attached() -> None:
    model = ModelCatalog.get_model_v2(OBS, PAIR, 5, {"fcnet_hiddens": [8]})
    assert not hasattr(model, "action_network")
    features = ModelCatalog.get_model_v2(OBS, PAIR, None, {"fcnet_hiddens": [8], "autoregressive_actions": True})
    assert not hasattr(features, "action_network"), "a model of features is part of another one"


@pytest.mark.parametrize("name", ALONE)
def test_one_part_alone_is_refused(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"(?s)`autoregressive_actions` lets each part .* has one part alone. Switch it off"
    ):
        ModelCatalog.get_action_dist(ACTION_SPACES[name], {"autoregressive_actions": True})


@pytest.mark.parametrize(
    ("config", "dist_type", "message"),
    [
        ({"custom_action_dist": AutoregressiveActions}, None, "and custom_action_dist=<class .* is another one"),
        ({}, "deterministic", "and dist_type='deterministic' is another one"),
        ({"free_log_std": True}, None, "`free_log_std` is for the outputs of a model that are deviations"),
    ],
)
def test_contradictions_are_refused(config: dict[str, Any], dist_type: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelCatalog.get_action_dist(PAIR, {"autoregressive_actions": True, **config}, dist_type)


class Narrow(TorchModelV2):
    """A custom model, which may bring its own network."""

    def __init__(self, *arguments: Any, own: bool = False, silent: bool = False) -> None:
        super().__init__(*arguments)
        self.layer = nn.Linear(4, self.num_outputs + 1)
        if own:
            self.action_network = MaskedActionNetwork(self.num_outputs, [3, 2], [3, 2])
        if silent:
            self.num_outputs = None

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self._out = self.layer(input_dict["obs_flat"])
        return self._out[:, :-1], state

    def value_function(self) -> Any:
        return self._out[:, -1]


@pytest.mark.parametrize("own", [False, True])
def test_custom_models_get_the_network_or_bring_their_own(own: bool) -> None:
    class Env(Alike):
        observation_space, action_space = OBS, PAIR

    model = {"custom_model": Narrow, "custom_model_config": {"own": own}, **FAST["model"]}
    algorithm = PPO(Env, {**FAST, "model": model}, preset="none")
    assert isinstance(algorithm.policy.model.action_network, MaskedActionNetwork)  # type: ignore[attr-defined]
    before = algorithm.policy.state()
    algorithm.train()
    after = algorithm.policy.state()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {"model/layer.weight", "model/action_network.output.weight", "model/action_network.bias"} <= changed


def test_a_model_that_hides_its_width_is_named() -> None:
    with pytest.raises(ModelError, match=r"Narrow.num_outputs is None after it was built"):
        model_of(PAIR, custom_model=Narrow, custom_model_config={"silent": True})


def test_the_network_can_be_attached_to_a_ready_model() -> None:
    config = ModelConfig(autoregressive_actions=True)
    model = Narrow(OBS, PAIR, 12, config.as_dict(), "ready")
    attach_action_network(model, PAIR, config)
    network = model.action_network
    assert network.context.in_features == 12
    attach_action_network(model, PAIR, config)
    assert model.action_network is network


# ------------------------------------------------------------------------------------------ whole policies


class Alike(gym.Env[Any, Any]):
    """Pays 1 where both choices are the same; of some a mask allows two values only."""

    observation_space: gym.Space[Any] = Dict(action_mask=MultiBinary(8), noise=Box(-1, 1, (2,)))
    action_space: gym.Space[Any] = Tuple((Discrete(4), Discrete(4)))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._draw(), {}

    def _draw(self) -> Any:
        if not isinstance(self.observation_space, Dict):
            return np.ones(self.observation_space.shape, np.float32)
        self.mask = np.concatenate([np.isin(np.arange(4), self.np_random.permutation(4)[:2]) for _ in range(2)])
        noise = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"action_mask": self.mask.astype(np.int8), "noise": noise}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        if isinstance(self.observation_space, Dict):
            assert self.mask[action[0]], "the first choice is masked"
            assert self.mask[4 + action[1]], "the second choice is masked"
        self.t += 1
        return self._draw(), float(action[0] == action[1]), False, self.t % 20 == 0, {}


class Drawn(gym.Env[Any, Any]):
    """Checks actions, pays at random."""

    observation_space = OBS

    def __init__(self, action_space: gym.Space[Any]):
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.uniform(-1, 1, 4).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), (action, self.action_space)
        self.t += 1
        reward = float(self.np_random.random())
        return self.np_random.uniform(-1, 1, 4).astype(np.float32), reward, self.t % 9 == 0, False, {}


@pytest.mark.parametrize("name", SEVERAL)
def test_every_action_space_of_several_parts_trains_and_actions_are_members(name: str) -> None:
    result = PPO(lambda: Drawn(ACTION_SPACES[name]), FAST, entropy_coeff=0.01, preset="none").train()
    assert np.isfinite(result["learner"]["total_loss"])
    assert np.isfinite(result["learner"]["entropy"])
    assert result["learner"]["ratio_error"] < 1e-5


def test_masks_are_never_violated() -> None:
    algorithm = PPO(Alike, FAST, num_envs_per_env_runner=4, lr=1e-2, preset="none")
    for _ in range(10):
        algorithm.train()
    algorithm.evaluate(5)
    assert algorithm.evaluate(5, explore=True)["episode_len_mean"] == 20


MEMORIES: list[dict[str, Any]] = [
    {"use_lstm": True, "lstm_cell_size": 8, "lstm_use_prev_action": True},
    {"use_gru": True, "lstm_cell_size": 8},
    {"use_attention": True, "attention_dim": 8, "attention_use_n_prev_actions": 2},
]


@pytest.mark.parametrize("memory", MEMORIES, ids=lambda memory: next(iter(memory)))
def test_it_works_on_top_of_a_memory_and_with_masks(memory: dict[str, Any]) -> None:
    algorithm = PPO(
        Alike, {**FAST, "model": {**FAST["model"], **memory, "max_seq_len": 10}}, entropy_coeff=0.01, preset="none"
    )
    networks = [part for part in algorithm.policy.model.modules() if isinstance(part, MaskedActionNetwork)]  # type: ignore[attr-defined]
    assert networks == [algorithm.policy.model.action_network]  # type: ignore[attr-defined]
    assert networks[0].context.in_features == 8
    for _ in range(2):
        result = algorithm.train()["learner"]
        assert np.isfinite(result["total_loss"])
        assert result["ratio_error"] < 1e-5
    action, state = algorithm.policy.compute_single_action(Alike().reset(seed=0)[0])
    assert action in Alike.action_space
    assert state is not None


@pytest.mark.parametrize("explore", [True, False])
def test_a_rollout_takes_the_actions_that_the_network_gives(explore: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = PPO(Alike, FAST, num_envs_per_env_runner=4, preset="none").policy
    shaken(policy.model)
    space = Alike.observation_space
    space.seed(0)
    leaves = [np.stack(leaf) for leaf in zip(*(policy.encode.single(space.sample()) for _ in range(50)), strict=True)]
    kinds = []
    policy.model.action_network.register_forward_hook(lambda _, inputs, output: kinds.append(type(output)))
    with policy.acting() as act:
        noise = act.draw_noise(policy.new_distribution(50), 1)[0] if explore else None
        quick = tree.leaves(act(leaves, explore=explore, noise=noise))
    monkeypatch.setattr(policy.runtime, "numpy_pass", lambda model: None)
    with policy.acting() as act:
        whole = tree.leaves(act(leaves, explore=explore, noise=noise))
    assert kinds == [np.ndarray] * 2 + [torch.Tensor] * 2
    policy.model.action_network.activation = torch.nn.ReLU()
    inputs = np.random.default_rng(0).normal(size=(5, policy.num_outputs)).astype(np.float32)
    encoded = np.ones((5, policy.model.action_network.actions.mask.shape[1]), np.float32)
    in_numpy = policy.model.action_network(inputs, encoded)
    in_torch = policy.model.action_network(torch.from_numpy(inputs), torch.from_numpy(encoded))
    np.testing.assert_allclose(in_numpy, in_torch.detach(), atol=1e-5)
    assert all(map(np.array_equal, quick, whole))
    assert len(np.unique(quick[0])) > 1


@pytest.mark.parametrize("action_space", [PAIR, Tuple((Box(-1, 1, (2,)), MultiDiscrete([3, 2])))], ids=str)
def test_a_saved_policy_takes_equal_actions(action_space: gym.Space[Any], tmp_path: Any) -> None:
    algorithm = PPO(lambda: Drawn(action_space), FAST, lr=1e-2, preset="none")
    algorithm.train()
    algorithm.save(tmp_path / "saved")
    loaded = Algorithm.load(tmp_path / "saved", env=lambda: Drawn(action_space))
    observations = np.random.default_rng(0).uniform(-1, 1, (30, 4)).astype(np.float32)
    for explore in (False, True):
        mine, theirs = (
            tree.leaves(a.policy.compute_actions(observations, explore=explore)) for a in (algorithm, loaded)
        )
        assert all(map(np.array_equal, mine, theirs))


def test_one_seed_gives_one_run() -> None:
    """Also where the entropy is an estimate, which draws from the policy's own source."""
    space = Tuple((Box(-1, 1, (2,)), Discrete(3)))
    torch.manual_seed(0)
    first = PPO(lambda: Drawn(space), FAST, entropy_coeff=0.1, preset="none")
    results = [first.train()["learner"]["total_loss"] for _ in range(2)]
    torch.manual_seed(1)
    second = PPO(lambda: Drawn(space), FAST, entropy_coeff=0.1, preset="none")
    assert [second.train()["learner"]["total_loss"] for _ in range(2)] == results


# ----------------------------------------------------------------------------------------------------- PPO


def test_ppo_rebuilds_no_distribution_that_the_model_has_left_behind() -> None:
    algorithm = PPO(Alike, FAST, kl_coeff=0.5, preset="none")
    policy = algorithm.policy
    batch = next(algorithm.updates(policy, algorithm.fleet.gather(64))).rows
    shaken(policy.model.action_network)
    with torch.no_grad():
        now = policy.distribution(batch["action_dist_inputs"], batch.mask)
        log_ratio = now.logp(batch["actions"]) - batch["action_logp"]
        assert now.has_kl
        assert (now.kl(now) == 0).all(), "rebuilt from the stored contexts, nothing seems to have changed"
    metrics = algorithm.losses(policy, batch).metrics
    expected = (log_ratio.exp() - 1 - log_ratio).mean()
    assert expected > 1e-3
    torch.testing.assert_close(metrics["kl"], expected)


def test_the_reported_entropy_is_that_of_the_policy_that_collected() -> None:
    algorithm = PPO(Alike, FAST, minibatch_size=None, preset="none")
    policy = algorithm.policy
    shaken(policy.model)
    updates = algorithm.updates(policy, algorithm.fleet.gather(64))
    batch = next(updates).rows
    with torch.no_grad():
        expected = policy.distribution(batch["action_dist_inputs"], batch.mask).entropy().mean()
    shaken(policy.model)
    with pytest.raises(StopIteration) as ended:
        updates.send(Result({"kl": torch.zeros(4)}))
    torch.testing.assert_close(ended.value.value["entropy"], expected)
    assert not ended.value.value["entropy"].requires_grad
