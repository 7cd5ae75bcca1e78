from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from anyspace import PPO, Algorithm, register_env
from anyspace.algorithms.ppo import PPOConfig
from anyspace.algorithms.settings import preset_for
from anyspace.data.environments import EnvSpec
from anyspace.data.offline.spaces_file import write_spaces
from anyspace.errors import (
    CheckpointError,
    ConfigError,
    EnvironmentSetupError,
    ExportError,
    NonFiniteError,
    UnsupportedSpaceError,
)
from anyspace.execution.callbacks import RecordVideo
from anyspace.execution.film import Film
from anyspace.execution.learner import Losses
from anyspace.models.config import ModelConfig
from tests.support.tasks import Countdown, Endless, Lock

FAST: dict[str, Any] = {
    "train_batch_size": 64,
    "minibatch_size": 32,
    "num_epochs": 2,
    "num_envs_per_env_runner": 4,
    "seed": 3,
    "model": {"fcnet_hiddens": [8]},
}


def weights(algorithm: Algorithm[Any]) -> dict[str, np.ndarray]:
    return algorithm.policy.state()


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


class TestConstruction:
    def test_config_and_keywords_lie_over_the_defaults(self) -> None:
        algorithm = PPO(
            "CartPole-v1", {"lr": 1e-3, "gamma": 0.1, "model": {"fcnet_hiddens": [4]}}, gamma=0.5, preset="none"
        )
        assert (algorithm.config.lr, algorithm.config.gamma) == (1e-3, 0.5)
        assert algorithm.config.model.fcnet_hiddens == [4]
        assert algorithm.config.model.vf_share_layers is False, "keys beside the given ones keep their defaults"

    def test_env_may_stand_in_the_config(self) -> None:
        assert PPO(config={"env": Endless}, preset="none").env_spec.env is Endless

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({}, "needs an environment"),
            ({"env": Endless, "config": {"gama": 1}}, "Did you mean .*'gamma'"),
            ({"env": Endless, "config": {"model": {"fcnet_hidden": [1]}}}, "model.fcnet_hidden"),
            ({"env": Endless, "lr": "high"}, "takes float"),
            (
                {"env": Endless, "minibatch_size": 5000, "train_batch_size": 4000},
                r"at most the batch's \(train_batch_size = 4000\)",
            ),
            ({"env": Endless, "framework": "mxnet"}, "`framework`"),
            ({"env": Endless, "device": "cuda"}, "finds no such device"),
            ({"env": Endless, "model": {"use_lstm": True, "use_attention": True}}, "Only one of"),
            ({"env": Endless, "broadcast_interval": 2}, "no workers collect"),
        ],
    )
    def test_a_wrong_setting_is_refused_at_once(self, arguments: dict[str, Any], expected: str) -> None:
        if "cuda" in arguments.values() and torch.cuda.is_available():
            pytest.skip("this machine has the device")
        with pytest.raises(ConfigError, match=expected):
            PPO(**arguments, preset="none")

    def test_an_unknown_environment_names_the_nearest(self) -> None:
        with pytest.raises(EnvironmentSetupError, match="CartPole-v1"):
            PPO("CartPole-v7", preset="none")

    def test_an_unsupported_leaf_is_named(self) -> None:
        class Lists(Endless):
            observation_space = gym.spaces.Dict({"a": gym.spaces.Tuple([gym.spaces.Sequence(gym.spaces.Discrete(2))])})

        with pytest.raises(UnsupportedSpaceError, match=r'obs\["a"\]\[0\].*max_len'):
            PPO(Lists, preset="none")
        assert PPO(Lists, max_len=3, preset="none").policy.preprocessor.size == 1 + 3 * 2

    def test_one_instance_serves_one_environment(self) -> None:
        env = Endless()
        assert PPO(env, FAST, num_envs_per_env_runner=1, preset="none").train()["timesteps_total"] == 64

    def test_a_registered_name(self) -> None:
        register_env("countdown", lambda config: Countdown(**config))
        algorithm = PPO("countdown", FAST, env_config={"horizon": 2}, preset="none")
        assert algorithm.evaluate(4)["episode_return_mean"] == 2


class TestTraining:
    def test_the_result_counts_what_happened(self) -> None:
        algorithm = PPO(Countdown, FAST, preset="none")
        first, second = algorithm.train(), algorithm.train()
        assert (first["training_iteration"], second["training_iteration"]) == (1, 2)
        assert (first["timesteps_total"], second["timesteps_total"]) == (64, 128)
        assert second["episodes_total"] == 4 * (32 // 5)
        assert second["episode_return_mean"] == second["episode_len_mean"] == 5
        assert {"policy_loss", "vf_loss", "entropy", "kl", "lr", "model"} <= second["learner"].keys()

    def test_fragments_and_batches(self) -> None:
        algorithm = PPO(Countdown, FAST, rollout_fragment_length=8, preset="none")
        assert algorithm.fleet.gather(64).rewards.shape == (8, 8), "two fragments of four environments"

    def test_equal_seeds_give_equal_runs_and_others_do_not(self) -> None:
        runs = [PPO(Lock, FAST, seed=seed, preset="none") for seed in (1, 1, 2)]
        for algorithm in runs:
            algorithm.train()
            algorithm.train()
        assert same(weights(runs[0]), weights(runs[1]))
        assert not same(weights(runs[0]), weights(runs[2]))

    def test_learning_leaves_the_global_random_state_alone(self) -> None:
        torch.manual_seed(5)
        np.random.seed(5)
        before, numpy_before = torch.get_rng_state(), np.random.get_state()[1]
        PPO(Countdown, FAST, preset="none").train()
        assert torch.equal(before, torch.get_rng_state())
        assert np.array_equal(numpy_before, np.random.get_state()[1])

    def test_stop_return(self) -> None:
        algorithm = PPO(Countdown, FAST, stop_return=5.0, return_window=10, preset="none")
        assert not algorithm.should_stop()
        algorithm.learn(10_000, progress=False)
        assert algorithm.timesteps_total == 64

    def test_evaluate_every_decides_what_is_best_and_when_to_stop(self) -> None:
        algorithm = PPO(Countdown, FAST, evaluate_every=100, evaluation_episodes=3, stop_return=5.0, preset="none")
        first, second = algorithm.train(), algorithm.train()
        assert "evaluation" not in first
        assert not algorithm.config.evaluate_every or second["evaluation"]["episodes"] == 3
        assert algorithm.counters.is_best
        assert algorithm.should_stop()

    def test_evaluation_does_not_disturb_training(self) -> None:
        runs = [PPO(Lock, FAST, preset="none"), PPO(Lock, FAST, preset="none")]
        for algorithm in runs:
            algorithm.train()
        runs[0].evaluate(3)
        for algorithm in runs:
            algorithm.train()
        assert same(weights(runs[0]), weights(runs[1]))

    def test_infos_are_reported(self) -> None:
        class Informative(Countdown):
            def step(self, action: Any) -> Any:
                obs, reward, terminated, truncated, _ = super().step(action)
                return obs, reward, terminated, truncated, {"height": float(self.t)}

        assert PPO(Informative, FAST, train_batch_size=100, preset="none").train()["env"]["height"] == pytest.approx(3)

    def test_a_loss_that_is_not_finite_names_its_place_and_keeps_the_checkpoint(self, tmp_path: Path) -> None:
        class Failing(PPO):
            def losses(self, policy: Any, batch: Any) -> Any:
                found = super().losses(policy, batch)
                if self.training_iteration == 1:
                    return {name: loss * float("nan") for name, loss in found.by_group.items()}, found.metrics
                return found

        algorithm = Failing(Countdown, FAST, preset="none")
        algorithm.train()
        algorithm.save(tmp_path)
        kept = weights(algorithm)
        with pytest.raises(NonFiniteError, match=r"iteration 2, gradient step 1 of 4: total_loss is nan"):
            algorithm.train()
        assert same(weights(Failing.load(tmp_path)), kept)

    def test_a_gradient_that_is_not_finite_is_found(self) -> None:
        class Exploding(PPO):
            def losses(self, policy: Any, batch: Any) -> Any:
                found, weight = super().losses(policy, batch), policy.model.logits.weight
                # sqrt has an infinite slope at 0 while its value is finite.
                steep = found.by_group["policy"] + (weight - weight.detach()).sum().abs().sqrt()
                return {"policy": steep}, found.metrics

        with pytest.raises(NonFiniteError, match="iteration 1"):
            Exploding(Countdown, FAST, num_epochs=1, minibatch_size=None, preset="none").train()

    def test_a_subclass_may_override_losses_alone(self) -> None:
        class Doubled(PPO):
            def losses(self, policy: Any, batch: Any) -> Any:
                found = super().losses(policy, batch)
                return {name: 2 * loss for name, loss in found.by_group.items()}, found.metrics

        plain, doubled = PPO(Lock, FAST, preset="none"), Doubled(Lock, FAST, preset="none")
        plain.train()
        doubled.train()
        assert not same(weights(plain), weights(doubled))

    @pytest.mark.parametrize("form", ["Losses", "pair"])
    def test_losses_may_be_given_in_either_form(self, form: str) -> None:
        class Same(PPO):
            def losses(self, policy: Any, batch: Any) -> Any:
                found = super().losses(policy, batch)
                if form == "pair":
                    return found.by_group, found.metrics
                return Losses(found.by_group, found.metrics)

        plain, changed = PPO(Lock, FAST, preset="none"), Same(Lock, FAST, preset="none")
        assert plain.train()["learner"] == changed.train()["learner"]
        assert same(weights(plain), weights(changed))


FULL: dict[str, Any] = {
    **FAST,
    "observation_filter": "MeanStdFilter",
    "normalize_rewards": True,
    "lr_schedule": [[0, 1e-2], [1000, 1e-4]],
    "entropy_coeff_schedule": [[0, 0.1], [1000, 0.0]],
    "kl_coeff": 0.7,
}


def rates(algorithm: Algorithm[Any], total_steps: int) -> list[tuple[int, float, float]]:
    """Learn, and return steps, learning rate and weight of the entropy bonus by iteration."""
    seen = []

    def note(algorithm: Algorithm[Any], result: dict[str, Any]) -> None:
        learner = result["learner"]
        seen.append((result["timesteps_total"], learner["lr"], learner["entropy_coeff"]))

    algorithm.learn(total_steps, progress=False, callback=note)
    return seen


def test_a_falling_schedule_ends_where_the_run_ends_and_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    changes = {"lr": 1e-3, "lr_schedule": "linear", "entropy_coeff": 0.5, "entropy_coeff_schedule": "linear"}
    with closing(PPO(Lock, {**FAST, **changes}, preset="none")) as algorithm:
        assert algorithm.train()["learner"]["lr"] == 1e-3, "there is no end to go by yet"
        assert rates(algorithm, 256) == [(128, 7.5e-4, 0.375), (192, 5e-4, 0.25), (256, 2.5e-4, 0.125)]
        # A longer run falls more slowly.
        assert rates(algorithm, 512)[0] == (320, 5e-4, 0.25)
        algorithm.save(tmp_path)
    with closing(Algorithm.load(tmp_path)) as loaded:
        loaded.counters.timesteps_total = 384
        assert loaded.train()["learner"]["lr"] == 2.5e-4


@pytest.mark.parametrize("steps", [1.28e2, np.int64(128), np.float32(128)])
def test_steps_are_whole_numbers_however_they_are_spelt(tmp_path: Path, steps: Any) -> None:
    with closing(PPO(Lock, {**FAST, "lr_schedule": "linear"}, preset="none")) as algorithm:
        assert algorithm.learn(steps, progress=False, out=tmp_path / "run")["timesteps_total"] == 128
        assert algorithm.learn(total_timesteps=steps, progress=False)["timesteps_total"] == 256
    with closing(Algorithm.load(tmp_path / "run")) as loaded:
        assert loaded.timesteps_total == 128


@pytest.mark.parametrize("steps", ["1000", [1], True, 10.5, float("nan"), float("inf")])
def test_other_numbers_of_steps_are_refused(steps: Any) -> None:
    refused = pytest.raises(ConfigError, match=r"learn\(\) takes a whole number of steps")
    with closing(PPO(Lock, FAST, preset="none")) as algorithm, refused:
        algorithm.learn(steps, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"episodes": 1.5}, "evaluate\\(\\) takes a whole number of episodes .*, but 1.5 came"),
        ({"episodes": "3"}, "evaluate\\(\\) takes a whole number .*load\\(path, env=...\\)\\), but '3' came"),
        ({"episodes": 0}, "asked for 0 episodes"),
        ({"episodes": 1, "seed": 0.5}, "evaluate\\(\\) takes a whole number as `seed`, but 0.5 came"),
        ({"episodes": 1, "seed": -1}, "a seed is not negative"),
    ],
)
def test_other_numbers_of_episodes_and_seeds_are_refused(arguments: dict[str, Any], message: str) -> None:
    with closing(PPO(Lock, FAST, preset="none")) as algorithm, pytest.raises(ConfigError, match=message):
        algorithm.evaluate(**arguments)


def test_an_algorithm_says_what_it_is(tmp_path: Path) -> None:
    with closing(PPO(Lock, FAST, preset="none")) as algorithm:
        algorithm.train()
        assert repr(algorithm) == f"<PPO on Lock after {algorithm.timesteps_total} steps, torch>"
        algorithm.save(tmp_path / "saved")
    with closing(Algorithm.load(tmp_path / "saved", env=lambda: Lock())) as loaded:
        assert repr(loaded).startswith("<PPO on ")


def test_episodes_are_a_whole_number_however_it_is_spelt() -> None:
    with closing(PPO(Lock, FAST, preset="none")) as algorithm:
        twice: Any = 2e0
        assert algorithm.evaluate(twice, seed=1) == algorithm.evaluate(2, seed=1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (PPOConfig(explore="no"), "`explore` takes bool, but 'no' (str) came"),  # type: ignore[arg-type]
        (PPOConfig(lr="0.1"), "`lr` takes float, but '0.1' (str) came"),  # type: ignore[arg-type]
        (PPOConfig(model=ModelConfig(use_lstm="no")), "`model.use_lstm` takes bool"),  # type: ignore[arg-type]
        ({"model": ModelConfig(use_lstm="no")}, "`model.use_lstm` takes bool"),  # type: ignore[arg-type]
    ],
)
def test_whole_configurations_are_checked_before_anything_is_built(config: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        PPO(Lock, config)


def test_a_refused_run_leaves_the_schedule_alone(tmp_path: Path) -> None:
    with closing(PPO(Lock, {**FAST, "lr_schedule": "linear"}, preset="none")) as algorithm:
        algorithm.learn(128, progress=False, out=tmp_path / "first")
        with closing(PPO(Lock, FAST, preset="none")) as other:
            other.learn(64, progress=False, out=tmp_path / "second")
        with pytest.raises(ConfigError):
            algorithm.learn(10_000, progress=False, out=tmp_path / "second")
        assert algorithm.counters.total_steps == 128


@pytest.mark.parametrize(("key", "changes"), [("lr", {"lr": 0.0}), ("entropy_coeff", {"entropy_coeff": 0.0})])
def test_what_falls_from_zero_has_no_effect(key: str, changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"it falls from `{key}`, which is 0"):
        PPO(Lock, {**FAST, **changes, f"{key}_schedule": "linear"}, preset="none")


class TestCheckpoints:
    def test_a_loaded_algorithm_acts_and_goes_on_like_the_saved_one(self, tmp_path: Path) -> None:
        algorithm = PPO(Lock, FULL, preset="none")
        for _ in range(3):
            algorithm.train()
        algorithm.save(tmp_path / "saved")
        loaded = Algorithm.load(tmp_path / "saved")
        assert type(loaded) is PPO
        assert loaded.config == algorithm.config
        assert same(weights(loaded), weights(algorithm))
        for name in ("kl_coeff", "entropy_coeff"):
            assert float(getattr(loaded, name)) == float(getattr(algorithm, name)) > 0
        assert float(loaded.kl_coeff) != 0.7, "it has adapted"
        assert loaded.rewards.stat.n == algorithm.rewards.stat.n
        assert (loaded.timesteps_total, loaded.training_iteration) == (192, 3)
        observations = [Lock.observation_space.sample() for _ in range(20)]
        for observation in observations:
            first, second = (each.compute_single_action(observation, explore=True) for each in (algorithm, loaded))
            assert first["turn"] == second["turn"]
            assert first["flip"] == second["flip"]

    def test_two_resumed_runs_are_equal_bit_for_bit(self, tmp_path: Path) -> None:
        algorithm = PPO(Lock, FULL, preset="none")
        algorithm.train()
        algorithm.save(tmp_path)
        resumed = [Algorithm.load(tmp_path), Algorithm.load(tmp_path)]
        results = []
        for each in resumed:
            each.train()
            results.append(each.train())
        assert same(weights(resumed[0]), weights(resumed[1]))
        assert results[0]["learner"] == results[1]["learner"]
        assert not same(weights(resumed[0]), weights(algorithm))

    def test_acting_after_load_makes_no_environment(self, tmp_path: Path) -> None:
        made = []

        def creator() -> gym.Env[Any, Any]:
            made.append(1)
            return Countdown()

        register_env("counted", creator)
        PPO("counted", FAST, preset="none").save(tmp_path)
        made.clear()
        Algorithm.load(tmp_path).compute_single_action(2)
        assert not made

    def test_other_spaces_are_refused(self, tmp_path: Path) -> None:
        PPO(Countdown, FAST, env_config={"horizon": 5}, preset="none").save(tmp_path)
        with pytest.raises(CheckpointError, match=r"of Endless is Box.*trained with Discrete\(6\)"):
            Algorithm.load(tmp_path, env=Endless).train()
        with pytest.raises(CheckpointError, match=r"equal spaces only.*one by one: set_weights"):
            PPO(Endless, FAST, preset="none").load_weights(tmp_path)

    def test_weights_of_another_run_carry_over(self, tmp_path: Path) -> None:
        trained, new = PPO(Lock, FULL, preset="none"), PPO(Lock, FULL, seed=9, preset="none")
        trained.train()
        trained.save(tmp_path)
        new.load_weights(tmp_path)
        mine, theirs = weights(new), weights(trained)
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine if name.startswith(("model/", "filter/")))
        assert new.timesteps_total == 0

    def test_weights_of_another_size_are_refused_with_both_shapes(self, tmp_path: Path) -> None:
        PPO(Lock, FAST, preset="none").save(tmp_path)
        with pytest.raises(CheckpointError, match=r"the model has .*16.* the weights have .*8"):
            Algorithm.load(tmp_path, model={"fcnet_hiddens": [16]})

    def test_settings_changed_at_loading_lie_over_the_stored_ones(self, tmp_path: Path) -> None:
        PPO(Lock, FAST, model={"fcnet_activation": "relu"}, gamma=0.7, preset="none").save(tmp_path)
        loaded = Algorithm.load(tmp_path, config={"lr": 0.5}, num_epochs=1)
        assert (loaded.config.lr, loaded.config.num_epochs, loaded.config.gamma) == (0.5, 1, 0.7)
        again = Algorithm.load(tmp_path, model={"log_std_clip_param": 3.0})
        assert again.config.model.fcnet_hiddens == [8]
        assert (again.config.model.fcnet_activation, again.config.model.log_std_clip_param) == ("relu", 3.0)

    def test_a_local_environment_needs_to_be_given_again(self, tmp_path: Path) -> None:
        PPO(lambda: Countdown(), FAST, preset="none").save(tmp_path)
        loaded = Algorithm.load(tmp_path)
        loaded.compute_single_action(1)
        with pytest.raises(ConfigError, match="env="):
            loaded.train()
        assert Algorithm.load(tmp_path, env=Countdown).train()["training_iteration"] == 1

    def test_the_wrong_class_is_refused(self, tmp_path: Path) -> None:
        class Mine(PPO):
            pass

        Mine(Countdown, FAST, preset="none").save(tmp_path)
        with pytest.raises(CheckpointError, match="call load on the class that saved it"):
            Algorithm.load(tmp_path)
        assert Mine.load(tmp_path).training_iteration == 0

    def test_no_pickle_in_the_folder(self, tmp_path: Path) -> None:
        PPO(Countdown, FAST, preset="none").save(tmp_path)
        assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]


class TestActing:
    @pytest.mark.spec(44)
    def test_the_single_action_is_the_one_the_rollout_takes(self) -> None:
        algorithm = PPO("Pendulum-v1", FAST, observation_filter="MeanStdFilter", preset="none")
        algorithm.train()
        env = gym.make("Pendulum-v1")
        observations = [env.reset(seed=seed)[0] for seed in range(5)]
        with algorithm.policy.acting() as act:
            leaves = algorithm.policy.encode(np.stack(observations))
            rollout = algorithm.policy.to_env(act(leaves, explore=False).raw)
        singles = [algorithm.compute_single_action(observation) for observation in observations]
        np.testing.assert_allclose(rollout, singles, rtol=1e-5)
        np.testing.assert_allclose(algorithm.compute_actions(np.stack(observations)), rollout, rtol=1e-5)

    def test_actions_need_no_state_and_refuse_one(self) -> None:
        algorithm = PPO(Countdown, FAST, preset="none")
        assert algorithm.compute_single_action(0, [], info={}, prev_reward=1.0) in algorithm.policy.action_space
        with pytest.raises(ValueError, match="no memory"):
            algorithm.compute_single_action(0, [np.zeros(3)])


class TestGivenVectorEnvironments:
    def test_evaluation_and_presets_leave_them_to_training(self) -> None:
        envs = gym.vector.SyncVectorEnv([Countdown] * 4, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
        twins = [
            PPO(envs, FAST, train_batch_size=36, preset="none"),
            PPO(Countdown, FAST, train_batch_size=36, preset="none"),
        ]
        for algorithm in twins:
            algorithm.train()
        assert twins[0].evaluate(3)["episode_return_mean"] == 5
        for algorithm in twins:
            algorithm.train()
        assert same(weights(twins[0]), weights(twins[1]))
        assert preset_for(PPO.__mro__, EnvSpec(envs)).name == "tabular"
        assert twins[0].train()["timesteps_this_iter"] == 36

    def test_one_that_is_closed_is_not_stepped(self) -> None:
        class Given(gym.vector.SyncVectorEnv):
            def close(self, **kwargs: Any) -> None:
                """Close, and say so nowhere."""

        envs = Given([Countdown] * 4, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
        algorithm = PPO(envs, FAST, preset="none")
        algorithm.train()
        algorithm.close()
        for use in (algorithm.train, algorithm.evaluate):
            with pytest.raises(EnvironmentSetupError, match="the vector environment Given is closed"):
                use()


class Simulator(Countdown):
    is_open = True

    def step(self, action: Any) -> Any:
        assert self.is_open
        return super().step(action)

    def close(self) -> None:
        self.is_open = False


@pytest.mark.parametrize("changes", [{}, {"vectorization": "async"}, {"num_env_runners": 1, "fleet": "serial"}])
def test_what_trains_or_evaluates_after_close_makes_new_environments(changes: dict[str, Any], tmp_path: Path) -> None:
    with closing(PPO(Simulator, FAST, preset="none", output=str(tmp_path), **changes)) as algorithm:
        for iteration in (1, 2):
            assert algorithm.train()["training_iteration"] == iteration
            assert algorithm.evaluate(1)["episodes"] == 1
            algorithm.close()


def test_evaluation_needs_an_episode() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        PPO(Countdown, FAST, preset="none").evaluate(0)


def test_messages_count_the_steps_of_the_whole_run(tmp_path: Path) -> None:
    class Poisoned(Countdown):
        poison = False

        def step(self, action: Any) -> Any:
            obs, reward, *rest = super().step(action)
            return obs, float("nan") if self.poison else reward, *rest

    algorithm = PPO(Poisoned, FAST, preset="none")
    algorithm.train()
    algorithm.save(tmp_path)
    Poisoned.poison = True
    with pytest.raises(NonFiniteError, match="step 17, environment 0: the reward is nan"):
        Algorithm.load(tmp_path, env=Poisoned).train()


def test_paths_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with closing(PPO("CartPole-v1", {**FAST, "train_batch_size": 32}, preset="none")) as algorithm:
        assert algorithm.save("~/saved") == tmp_path / "saved"
        algorithm.learn(32, out="~/run", progress=False)
        write_spaces("~/spaces", algorithm.policy.observation_space, algorithm.policy.action_space)
        with pytest.raises(ExportError, match=re.escape(str(tmp_path / "policy.txt"))):
            algorithm.policy.export("~/policy.txt")
    for path, run in (("~/saved", None), ("~/run", tmp_path / "run")):
        with closing(PPO.load(path)) as loaded:
            assert loaded.run_folder == run
    assert RecordVideo(1, folder="~/videos").folder == tmp_path / "videos"
    assert Film([Path("~/one.gif")]).files == [tmp_path / "one.gif"]
    assert (RecordVideo(1, folder="b").folder, Film([Path("b.gif")]).files) == (tmp_path / "b", [tmp_path / "b.gif"])
    assert (tmp_path / "spaces" / "spaces.json").is_file()
    assert not (tmp_path / "~").exists()
