from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from anyspace import MARWIL, PG, PPO, Algorithm
from anyspace.algorithms import ALGORITHMS, presets
from anyspace.algorithms.presets import GENERAL, Preset, general_preset, named_preset, preset_names
from anyspace.algorithms.settings import preset_for, preset_name
from anyspace.config import merge
from anyspace.data.environments import EnvSpec
from anyspace.errors import ConfigError
from anyspace.models.config import ModelConfig
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy
from anyspace.rllib.algorithms.ppo import PPO as RllibPPO
from anyspace.spaces import Repeated
from tests.support.environments import Samples
from tests.support.tasks import Countdown

BOX = spaces.Box(-1, 1, (3,))
SHORT: dict[str, Any] = {"train_batch_size": 8, "minibatch_size": 8, "num_epochs": 1, "seed": 0}


@pytest.mark.parametrize(
    ("observation", "action", "expected"),
    [
        (BOX, spaces.Discrete(2), "discrete"),
        (spaces.Discrete(4), spaces.Box(0, 5, (2,), "int32"), "tabular"),
        (BOX, BOX, "continuous"),
        (spaces.Tuple([BOX, BOX]), spaces.Dict({"a": spaces.Discrete(2), "b": BOX}), "discrete"),
        (spaces.Dict({"a": spaces.Box(0, 255, (8, 8, 3), "uint8")}), BOX, "image"),
    ],
)
def test_the_general_preset_goes_by_the_spaces(observation: spaces.Space, action: spaces.Space, expected: str) -> None:
    assert general_preset("ppo", observation, action).name == expected


@pytest.mark.parametrize(
    "action",
    [BOX, spaces.MultiBinary(3), spaces.Dict(a=spaces.Discrete(3), b=BOX), spaces.Tuple([BOX, BOX])],
    ids=["box", "bits", "mixed", "boxes"],
)
def test_the_general_preset_builds_a_policy(action: spaces.Space) -> None:
    config = merge(PPO.config_class(), general_preset("ppo", BOX, action).settings)
    assert Policy(BOX, action, config, TorchRuntime("cpu")).num_outputs > 0


@pytest.mark.parametrize("action", [spaces.Discrete(2), BOX])
def test_networks_of_parts_get_a_layer_on_top(action: spaces.Space) -> None:
    flat = spaces.Dict(a=BOX, b=spaces.MultiDiscrete([2, 3]), c=spaces.Tuple([spaces.Discrete(2)]))
    assert "post_fcnet_hiddens" not in general_preset("ppo", flat, action).settings["model"]
    for part in (Repeated(BOX, 3), spaces.Sequence(BOX), spaces.OneOf([BOX, BOX]), spaces.Box(0, 1, (2, 2))):
        preset = general_preset("ppo", spaces.Dict(a=BOX, b=part), action)
        assert preset.settings["model"]["post_fcnet_hiddens"] == [64]


def test_what_parts_mean_together_can_be_learnt() -> None:
    space = spaces.Dict(a=BOX, b=Repeated(BOX, 2))
    config = merge(PPO.config_class(), general_preset("ppo", space, spaces.Discrete(2)).settings)
    policy = Policy(space, spaces.Discrete(2), merge(config, {"observation_filter": "NoFilter"}), TorchRuntime("cpu"))
    low, high = np.full(3, -0.9, np.float32), np.full(3, 0.9, np.float32)
    obs = [policy.encode.single({"a": a, "b": [b]}) for a in (low, high) for b in (low, high)]
    leaves = [torch.from_numpy(np.stack(leaf)) for leaf in zip(*obs, strict=True)]
    logits = policy.evaluate(Batch(obs=leaves), value=False).output.detach()
    # Of a sum of what each part says alone, this difference of differences is 0.
    assert (logits[0] - logits[1] - logits[2] + logits[3]).abs().max() > 1e-4


def test_a_subclass_has_the_presets_of_the_algorithm_that_it_changes() -> None:
    class Mine(PPO):
        pass

    assert Mine("CartPole-v1", preset="auto").config == PPO("CartPole-v1", preset="auto").config
    assert preset_for(Mine.__mro__, EnvSpec("CartPole-v1")).name == "CartPole-v1"


def test_a_preset_and_a_whole_configuration_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match="`config` is a whole configuration"):
        PPO("CartPole-v1", PPO.config_class(lr=0.1), preset="auto")
    assert PPO("CartPole-v1", PPO.config_class(lr=0.1), preset="none").config == PPO.config_class(lr=0.1)


def test_names() -> None:
    assert {"CartPole-v1", "Pendulum-v1", *GENERAL} <= set(preset_names("ppo"))
    with pytest.raises(ConfigError, match="Did you mean 'CartPole-v1'"):
        named_preset("ppo", "CartPole-v0")


def test_a_preset_lies_between_defaults_and_own_settings() -> None:
    plain, auto = PPO("CartPole-v1", preset="none"), PPO("CartPole-v1", {"gamma": 0.5})
    assert plain.config == PPO.config_class()
    assert auto.config.train_batch_size == named_preset("ppo", "CartPole-v1").settings["train_batch_size"]
    assert auto.config.gamma == 0.5


def discretized(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return gym.wrappers.TransformAction(env, lambda choice: np.array([choice - 2.0], np.float32), spaces.Discrete(5))


def slower(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return gym.wrappers.TimeLimit(env, 100)


def pictures(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return gym.wrappers.AddRenderObservation(env)


DRAWN = {"render_mode": "rgb_array"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (EnvSpec("Pendulum-v1", wrappers=[discretized]), "discrete"),
        (EnvSpec("Pendulum-v1", wrappers=[slower]), "Pendulum-v1"),
        (EnvSpec("Pendulum-v1", {"g": 9.0}), "Pendulum-v1"),
        (EnvSpec("CartPole-v1", DRAWN, [pictures]), "image"),
        (EnvSpec("LunarLander-v3", {"continuous": True}), "continuous"),
        (EnvSpec(slower(gym.make("Pendulum-v1"))), "Pendulum-v1"),
        (EnvSpec(discretized(gym.make("Pendulum-v1"))), "discrete"),
        (EnvSpec(gym.make_vec("CartPole-v1", 2)), "CartPole-v1"),
    ],
)
def test_the_preset_of_an_id_is_for_its_spaces(spec: EnvSpec, expected: str) -> None:
    assert preset_for(PPO.__mro__, spec).name == expected


def test_a_wrapped_id_is_not_refused_for_a_key_of_the_preset_of_its_id() -> None:
    assert PPO("Pendulum-v1", wrappers=[discretized], train_batch_size=64).preset == "discrete"


def test_an_environment_without_a_preset_gets_the_general_one() -> None:
    assert preset_for(PPO.__mro__, EnvSpec("Acrobot-v1")).name == "discrete"
    assert PPO("MountainCarContinuous-v0").config.normalize_rewards is True


def test_observations_that_are_choices_alone_have_a_preset_of_their_own() -> None:
    choices = spaces.Dict(a=spaces.Discrete(3), b=spaces.Tuple([spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(2)]))
    assert general_preset("ppo", choices, spaces.Discrete(2)).name == "tabular"
    assert general_preset("ppo", spaces.Dict(a=choices, b=BOX), spaces.Discrete(2)).name == "discrete"
    assert general_preset("ppo", choices, BOX).name == "continuous"
    assert general_preset("dqn", choices, spaces.Discrete(2)).name == "discrete"
    for memory in ("use_lstm", "use_gru", "use_attention"):
        model = ModelConfig(**{memory: True})
        own = {"minibatch_size": 128} if memory == "use_gru" else {}
        assert named_preset("ppo", "tabular", model).settings == {
            **named_preset("ppo", "discrete", model).settings,
            **own,
        }


# ------------------------------------------------------------------------------------------- by memory


SHIPPED = [(kind, name) for kind in ALGORITHMS.values() for name in preset_names(preset_name(kind.__mro__))]


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_every_shipped_preset_is_valid_with_every_memory(kind: type[Algorithm[Any]], name: str) -> None:
    for memory in ({}, {"use_lstm": True}, {"use_gru": True}, {"use_attention": True}):
        settings = named_preset(preset_name(kind.__mro__), name, ModelConfig(**memory)).settings
        recorded = {"input": "sampler"} if issubclass(kind, MARWIL) else {}  # which no preset can know
        merge(kind.config_class(), {**settings, **recorded}).validate()


@pytest.mark.parametrize("kind", ALGORITHMS.values())
def test_algorithms_have_general_presets_for_their_actions(kind: type[Algorithm[Any]]) -> None:
    """BC takes those of MARWIL, from which it derives; Q-learning knows choices alone."""
    usual = {"discrete", "continuous", "image"}
    expected = {"BC": set(), "DQN": {"discrete", "image"}, "PPO": {*GENERAL}}.get(kind.__name__, usual)
    assert {*GENERAL} & {*preset_names(kind.name())} == expected


OWN = {
    "PG": {"CartPole-v1", "LunarLander-v3"},
    "A2C": {"CartPole-v1", "Pendulum-v1", "LunarLander-v3"},
    "IMPALA": {"CartPole-v1", "Pendulum-v1", "LunarLander-v3"},
    "APPO": {"CartPole-v1", "Pendulum-v1", "LunarLander-v3"},
    "PPO": {"CartPole-v1", "Pendulum-v1", "LunarLander-v3"},
    "DQN": {"CartPole-v1", "LunarLander-v3"},
    "SAC": {"CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0", "LunarLanderContinuous-v3"},
}
"""Environments that an algorithm was tuned on. The others learn with a general preset, or were not seen to learn."""


@pytest.mark.parametrize("kind", ALGORITHMS.values())
def test_environments_with_a_preset_of_their_own(kind: type[Algorithm[Any]]) -> None:
    assert {*preset_names(kind.name())} - {*GENERAL} == OWN.get(kind.__name__, set())


def test_a_preset_depends_on_the_memory() -> None:
    plain, attention = (named_preset("ppo", "discrete", model) for model in (None, ModelConfig(use_attention=True)))
    assert (plain.settings["lr"], attention.settings["lr"]) == (1e-3, 3e-4)
    assert (plain.settings["lambda_"], attention.settings["lambda_"]) == (0.95, 0.8)
    assert {**attention.settings, "lr": 1e-3, "lambda_": 0.95} == plain.settings
    assert "memory" not in plain.settings
    for memory, lr in (("use_lstm", 1e-3), ("use_gru", 1e-3), ("use_attention", 3e-4)):
        model = {memory: True, "attention_dim" if memory == "use_attention" else "lstm_cell_size": 4}
        algorithm = PPO(Countdown, SHORT, model=model)
        assert (algorithm.preset, algorithm.config.lr, algorithm.config.lambda_) == ("tabular", lr, 0.8)
    assert PPO(Countdown, SHORT, model={"use_attention": True}, lr=0.5).config.lr == 0.5


def test_what_a_memory_changes_may_be_nested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        """
        lr = 1e-3
        [model]
        fcnet_hiddens = [8]
        vf_share_layers = true
        [memory.use_lstm]
        grad_clip = "none"
        [memory.use_lstm.model]
        fcnet_hiddens = [4]
        """
    )
    monkeypatch.setattr(presets, "_folder", lambda algorithm: tmp_path)
    assert named_preset("ppo", "mine").settings == {
        "lr": 1e-3,
        "model": {"fcnet_hiddens": [8], "vf_share_layers": True},
    }
    assert named_preset("ppo", "mine", ModelConfig(use_lstm=True)).settings == {
        "lr": 1e-3,
        "grad_clip": None,
        "model": {"fcnet_hiddens": [4], "vf_share_layers": True},
    }


# ------------------------------------------------------------------------------- what is taken unasked


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "CartPole-v1"),
        ({"config": {"lr": 1e-3}}, "CartPole-v1"),
        ({"preset": "auto"}, "CartPole-v1"),
        ({"preset": "discrete"}, "discrete"),
        ({"preset": "none"}, "none"),
        ({"config": PPO.config_class()}, "none"),
        ({"env": Countdown}, "tabular"),
    ],
)
def test_the_algorithm_names_its_preset(arguments: dict[str, Any], name: str, tmp_path: Path) -> None:
    algorithm = PPO(**{"env": "CartPole-v1", **arguments}, **SHORT)
    assert algorithm.preset == name
    assert algorithm.description()["preset"] == name
    assert algorithm.learn(8, out=tmp_path / "run", progress=False)["preset"] == name
    assert json.loads((tmp_path / "run" / "config.json").read_text())["preset"] == name
    loaded = PPO.load(tmp_path / "run", lr=0.5)
    assert loaded.preset == name
    assert loaded.config == dataclasses.replace(algorithm.config, lr=0.5), "loading takes no preset anew"


def test_a_line_of_the_log_says_which_preset_is_taken_unasked(caplog: pytest.LogCaptureFixture) -> None:
    PPO("CartPole-v1", SHORT)
    (line,) = caplog.messages
    assert line.startswith("PPO on CartPole-v1 starts from the preset 'CartPole-v1'; preset='none' keeps the plain")
    caplog.clear()
    for preset in ("auto", "none", "discrete"):
        PPO("CartPole-v1", SHORT, preset=preset)
    PPO("CartPole-v1", PPO.config_class())
    assert caplog.messages == []


def test_rllib_s_paths_keep_its_defaults(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = RllibPPO("CartPole-v1")
    assert issubclass(RllibPPO, PPO)
    assert old.config == PPO.config_class()
    assert old.preset == "none"
    assert caplog.messages == []
    assert RllibPPO("CartPole-v1", preset="auto").config == PPO("CartPole-v1", preset="auto").config
    assert json.loads((old.save(tmp_path / "saved") / "state.json").read_text())["algorithm"] == "PPO"
    assert type(PPO.load(tmp_path / "saved")) is type(Algorithm.load(tmp_path / "saved")) is PPO
    assert RllibPPO.load(tmp_path / "saved").config == old.config
    PPO("CartPole-v1", SHORT).save(tmp_path / "new")
    assert RllibPPO.load(tmp_path / "new").preset == "CartPole-v1"


@pytest.mark.parametrize(
    ("given", "fitted"),
    [
        ({"train_batch_size": 20}, {"num_envs_per_env_runner": 1, "minibatch_size": 20}),
        ({"train_batch_size": 100}, {"num_envs_per_env_runner": 3}),
        ({"train_batch_size": 100, "num_envs_per_env_runner": 8}, {"num_envs_per_env_runner": 8}),
        ({"train_batch_size": 64}, {"minibatch_size": 64, "num_envs_per_env_runner": 2}),
        ({"minibatch_size": 2000}, {"train_batch_size": 2000}),
        ({"use_critic": False}, {"use_gae": False, "batch_mode": "complete_episodes"}),
        ({"kl_target": 0.05}, {"kl_coeff": 0.2}),
        ({"use_kl_loss": True}, {"kl_coeff": 0.2}),
        ({"kl_coeff": 0.0}, {"kl_coeff": 0.0}),
        ({"num_envs_per_env_runner": 300}, {"train_batch_size": 1024}),
    ],
)
def test_presets_give_way_to_what_is_given(given: dict[str, Any], fitted: dict[str, Any]) -> None:
    config = PPO(Countdown, given).config
    assert {key: getattr(config, key) for key in given | fitted} == given | fitted
    with pytest.raises(ConfigError, match="minibatch_size"):
        PPO(Countdown, train_batch_size=8, minibatch_size=16)


def test_a_preset_s_schedule_gives_way_to_a_learning_rate() -> None:
    assert PG("CartPole-v1").config.lr_schedule is not None
    assert PG("CartPole-v1", lr=0.5).config.lr_schedule is None
    schedule = [(0, 1.0), (9, 0.0)]
    assert PG("CartPole-v1", lr=0.5, lr_schedule=schedule).config.lr_schedule == schedule


def test_a_schedule_that_falls_from_the_learning_rate_stays_beside_one() -> None:
    falling = Preset("falling", {"lr": 1e-3, "lr_schedule": "linear"})
    config = PG("CartPole-v1", preset=falling, lr=0.5).config
    assert (config.lr, config.lr_schedule) == (0.5, "linear")


def test_a_preset_s_entropy_bonus_gives_way_to_a_distribution_without_entropy(tmp_path: Path) -> None:
    parts = spaces.Dict(a=BOX, b=spaces.Discrete(2))

    def make() -> Samples:
        return Samples(BOX, parts)

    model = {"custom_action_dist": "SquashedGaussian"}
    algorithm = PPO(make, SHORT, model=model)
    assert algorithm.preset == "discrete"
    assert algorithm.config.entropy_coeff == 0
    algorithm.train()
    algorithm.save(tmp_path)
    assert PPO.load(tmp_path, env=make).config.entropy_coeff == 0
    with pytest.raises(ConfigError, match=r"`entropy_coeff` is not 0, but .* defines no entropy\(\)"):
        PPO(make, SHORT, model=model, entropy_coeff=0.005)


def test_a_preset_s_deviations_give_way_to_another_distribution() -> None:
    def make() -> Samples:
        return Samples(BOX, BOX)

    assert PPO(make, SHORT).config.model.free_log_std
    assert PPO(
        make, SHORT, model={"custom_action_dist": "SquashedGaussian"}, entropy_coeff=0.0
    ).config.model.free_log_std
    assert not PPO(make, SHORT, model={"custom_action_dist": "Beta"}).config.model.free_log_std
    with pytest.raises(ConfigError, match="`free_log_std`"):
        PPO(make, SHORT, model={"custom_action_dist": "Beta", "free_log_std": True})


class Uncopied(gym.vector.SyncVectorEnv):
    def __deepcopy__(self, memo: object) -> Any:
        raise TypeError("a licence for one")


def test_a_vector_environment_is_taken_as_it_is() -> None:
    """It says how many environments there are, and no copy is made to choose a preset by."""
    envs = Uncopied([Countdown] * 3, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    algorithm = PPO(envs, SHORT)
    assert (algorithm.preset, algorithm.config.num_envs_per_env_runner) == ("tabular", 3)
    assert algorithm.train()["timesteps_this_iter"] == 9
