"""Acting with other weights than those that learn."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from anyspace import DQN, SAC, Algorithm
from anyspace.data.seeds import environment_seed
from anyspace.errors import ConfigError
from anyspace.models import ModelV2, TorchModelV2
from anyspace.models.torch.runtime import TorchRuntime
from tests.support.hashes import CHOICES, VECTOR, digest_of, sampled

NOISE = {"type": "ParameterNoise", "random_timesteps": 0, "initial_stddev": 0.5}
SMALL: dict[str, Any] = {
    "seed": 3,
    "num_envs_per_env_runner": 2,
    "train_batch_size": 8,
    "num_steps_sampled_before_learning_starts": 8,
    "min_sample_timesteps_per_iteration": 48,
    "training_intensity": 1.0,
    "replay_capacity": 200,
    "lr": 1e-2,
    "exploration_config": NOISE,
    "model": {"fcnet_hiddens": [8]},
}
LSTM = {"model": {"fcnet_hiddens": [8], "use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 4}}
KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "choice": (DQN, sampled(VECTOR, spaces.Discrete(3)), {"hiddens": [6]}),
    "masked": (DQN, sampled(VECTOR, spaces.Discrete(4), True), {"hiddens": [], "dueling": False}),
    "branches": (DQN, sampled(VECTOR, CHOICES), {"hiddens": [6], "num_atoms": 5, "prioritized_replay": True}),
    "lstm": (DQN, sampled(VECTOR, spaces.Discrete(3)), {"hiddens": [6], **LSTM}),
    "numbers": (SAC, sampled(VECTOR, spaces.Box(-2, 2, (2,))), {}),
    "sac, choice": (SAC, sampled(VECTOR, spaces.Discrete(3), True), {}),
    "sac, lstm": (SAC, sampled(VECTOR, spaces.Box(-2, 2, (2,))), LSTM),
}


def made(name: str = "choice", **more: Any) -> Any:
    kind, env, settings = KINDS[name]
    return kind(env, {**SMALL, **settings, **more}, preset="none")


def weights_of(algorithm: Algorithm[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those that learn, and those that act while exploring."""
    policy, runtime = algorithm.policy, algorithm.policy.runtime
    assert policy._perturbed is not None
    return runtime.parameters(policy.model), runtime.parameters(policy._perturbed._model)


@pytest.mark.parametrize("name", KINDS)
def test_learning_never_sees_what_acts(name: str) -> None:
    with closing(made(name)) as algorithm:
        before = weights_of(algorithm)[0]
        algorithm.fleet.gather(20)
        own, acting = weights_of(algorithm)
        assert all((own[key] == before[key]).all() for key in before)
        assert any((own[key] != acting[key]).any() for key in own)
        policy, losses = algorithm.policy, algorithm.learner.losses
        perturbed = policy._perturbed._model
        calls = []

        def spoilt(policy: Any, batch: Any) -> Any:
            """The losses, while whatever the acting network computes is no number."""
            with torch.no_grad():
                for parameter in perturbed.parameters():
                    parameter.fill_(torch.nan)
            calls.append(len(batch))
            return losses(policy, batch)

        algorithm.learner.losses = spoilt
        assert np.isfinite(algorithm.train()["learner"]["total_loss"])
        assert calls
        moved = weights_of(algorithm)[0]
        assert any((moved[key] != own[key]).any() for key in own)
        assert perturbed not in [sibling.model for sibling in policy.siblings]
        assert all(parameter.grad is None for parameter in perturbed.parameters())
        # What acts next is what was learnt, plus the noise.
        policy._perturbed.network()
        acting = weights_of(algorithm)[1]
        for key, noise in policy.exploration._noise.items():
            np.testing.assert_allclose(acting[key], moved[key] + noise, atol=1e-6)


def test_noise_changes_what_is_done_and_evaluation_is_without() -> None:
    obs = np.random.default_rng(0).uniform(-1, 1, (300, 5)).astype(np.float32)
    with closing(made(exploration_config={**NOISE, "sub_exploration": {"epsilon_schedule": [(0, 0.0)]}})) as algorithm:
        best = algorithm.compute_actions(obs)
        np.testing.assert_array_equal(algorithm.compute_actions(obs, explore=True), best)  # no episode has begun yet
        algorithm.fleet.gather(8)
        np.testing.assert_array_equal(algorithm.compute_actions(obs), best)
        explored = algorithm.compute_actions(obs, explore=True)
        assert (explored != best).any()
        np.testing.assert_array_equal(algorithm.compute_actions(obs, explore=True), explored)


def test_noise_is_drawn_anew_with_an_episode_of_the_first_environment() -> None:
    with closing(made()) as algorithm:
        policy = algorithm.policy
        leaves = policy.encode(np.zeros((2, 5), np.float32), str)
        seeds = []
        for source, begun in (
            ("acting", [True, True]),
            ("acting", [False, True]),
            ("acting", None),
            ("evaluation", [True, True]),
            ("acting", [True, False]),
        ):
            with policy.acting(source) as act:
                act(leaves, begun=None if begun is None else np.array(begun))
                act(leaves, explore=False, begun=np.array([True, True]))
            seeds.append(policy.exploration.state()["seed"].tolist())
        assert seeds[0] == seeds[1] == seeds[2] == seeds[3] != seeds[4]
        rows = policy.exploration.state()["sums"][0]
        assert rows == 2, "steps beside collecting are not compared, and new noise starts from nothing"


def test_exploring_beside_collecting_changes_nothing() -> None:
    def trained(*, interrupted: bool) -> tuple[str, list[Any]]:
        with closing(made()) as algorithm:
            for _ in range(2):
                algorithm.train()
                if interrupted:
                    algorithm.evaluate(2, explore=True)
            state = algorithm.policy.exploration.state()
            return digest_of(algorithm.policy.state()), [state[name].tolist() for name in sorted(state)]

    assert trained(interrupted=False) == trained(interrupted=True)


@pytest.mark.parametrize("name", ["choice", "masked", "lstm", "numbers"])
def test_the_twin_does_what_the_network_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def played() -> tuple[Any, Any]:
        with closing(made(name)) as algorithm:
            trajectory = algorithm.fleet.gather(40)
            return np.asarray(trajectory.actions), algorithm.policy.exploration.state()["sums"]

    with closing(made(name)) as algorithm, algorithm.policy.acting("acting") as act:
        assert act.network.twin is not None
    by_twin = played()
    monkeypatch.setattr(TorchRuntime, "numpy_pass", lambda self, model: None)
    for mine, theirs in zip(by_twin, played(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_layer_norms_are_added_to_heads_and_stay_as_they_are() -> None:
    with closing(made()) as algorithm:
        norms = [name for name, layer in algorithm.policy.model.named_modules() if isinstance(layer, nn.LayerNorm)]
        assert len(norms) == 2
        algorithm.fleet.gather(8)
        own, acting = weights_of(algorithm)
        same = {name for name in own if (own[name] == acting[name]).all()}
        assert {name for name in own if name.rpartition(".")[0] in norms} == same
    with closing(made(exploration_config={})) as plain:
        assert not [layer for layer in plain.policy.model.modules() if isinstance(layer, nn.LayerNorm)]


class Tied(TorchModelV2):
    """One layer of two names."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        assert self.num_outputs is not None
        self.first = nn.Linear(5, self.num_outputs)
        self.same = self.first

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        return self.same(input_dict["obs_flat"]), state


def test_weights_with_two_names_get_their_noise() -> None:
    with closing(made("masked", model={"custom_model": Tied})) as algorithm:
        algorithm.fleet.gather(8)
        own, acting = weights_of(algorithm)
        assert all((own[name] != acting[name]).all() for name in own)
        np.testing.assert_array_equal(acting["first.weight"], acting["same.weight"])


@pytest.mark.parametrize(
    ("name", "noisy"),
    [
        ("encoder.0.weight", True),
        ("norm_head.weight", False),
        ("blocks.0.attention.norm.weight", False),
        ("LayerNorm_0/scale", False),
        ("layer_norm/bias", False),
        ("abnormal.weight", True),
        ("batchnorm.weight", True),
    ],
)
def test_layer_norms_are_known_by_their_names_where_a_framework_does_not_say(name: str, noisy: bool) -> None:
    model = ModelV2(VECTOR, spaces.Discrete(2), 2, {})
    assert model.takes_noise(name) is noisy


def test_noisy_layers_refuse_it() -> None:
    with pytest.raises(ConfigError, match="`noisy` is True, but ParameterNoise is noise on the same weights"):
        made(noisy=True)


@pytest.mark.parametrize("name", ["lstm", "numbers"])
def test_a_run_goes_on_bit_for_bit_from_a_checkpoint(name: str, tmp_path: Path) -> None:
    with closing(made(name, store_buffer_in_checkpoints=True)) as first:
        first.train()
        first.save(tmp_path)
        with closing(Algorithm.load(tmp_path, env=KINDS[name][1])) as second:
            first.fleet.restart(environment_seed(first.seed, 1))  # a loaded run begins new episodes
            assert second.policy.exploration.stddev == first.policy.exploration.stddev != 0.5
            obs = np.random.default_rng(0).uniform(-1, 1, (50, 5)).astype(np.float32)
            own = [one.compute_actions(obs, explore=True) for one in (first, second)]
            np.testing.assert_array_equal(*(one[0] if isinstance(one, tuple) else one for one in own))
            for one in (first, second):
                one.train()
            assert digest_of(first.policy.state()) == digest_of(second.policy.state())
            for key, value in first.policy.exploration.state().items():
                np.testing.assert_array_equal(value, second.policy.exploration.state()[key])


def test_the_second_network_is_made_anew_only_where_weights_or_noise_have_changed() -> None:
    """Rounds without a gradient step leave the version of the weights, and the network with noise on them, alone."""
    settings: dict[str, Any] = {
        "num_steps_sampled_before_learning_starts": 60,
        "min_sample_timesteps_per_iteration": 30,
    }
    settings |= {
        "exploration_config": {"type": "ParameterNoise"},
        "replay_capacity": 100,
        "model": {"fcnet_hiddens": [4]},
    }
    with closing(DQN("CartPole-v1", settings, preset="none", seed=0)) as algorithm:
        made_anew = []
        perturbed = algorithm.policy._perturbed
        assert perturbed is not None
        make = perturbed._new_network
        perturbed._new_network = lambda: made_anew.append(algorithm.timesteps_total) or make()  # type: ignore[method-assign, func-returns-value]
        algorithm.train()
        assert algorithm.policy.version == 0
        assert len(made_anew) <= 1 + algorithm.counters.episodes_total
        algorithm.train()
        before = len(made_anew), algorithm.policy.version
        algorithm.train()
        assert algorithm.policy.version == before[1] + 30
        assert len(made_anew) - before[0] >= 29
        count = len(made_anew)
        algorithm.policy.load_weights(algorithm.policy.weights())
        perturbed.network()
        assert len(made_anew) == count + 1, "whatever the version of what is loaded"
        algorithm.policy.load_state(algorithm.policy.state())
        perturbed.network()
        assert len(made_anew) == count + 2, "likewise"
