"""Training scripts of RLlib's old stack: the builder, callbacks, result keys, checkpoints."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import anyspace
from anyspace._rllib.results import EvaluationResult, OldResult, averaged
from anyspace.data.env_context import EnvContext
from anyspace.errors import CheckpointError, ConfigError, ObservationError
from anyspace.rllib.agents.trainer import with_common_config
from anyspace.rllib.algorithms import IMPALA, ppo
from anyspace.rllib.algorithms.algorithm import Algorithm
from anyspace.rllib.algorithms.algorithm_config import AlgorithmConfig
from anyspace.rllib.algorithms.callbacks import DefaultCallbacks, make_multi_callbacks
from anyspace.rllib.algorithms.dqn import DQNConfig
from anyspace.rllib.algorithms.impala import ImpalaConfig as IMPALAConfig
from anyspace.rllib.algorithms.ppo import PPOConfig
from anyspace.rllib.algorithms.registry import get_algorithm_class
from anyspace.rllib.algorithms.sac import SACConfig
from anyspace.rllib.utils.metrics.learner_info import LEARNER_INFO, LEARNER_STATS_KEY

SMALL: dict[str, Any] = {
    "train_batch_size": 60,
    "sgd_minibatch_size": 30,
    "num_sgd_iter": 1,
    "model": {"fcnet_hiddens": [4]},
}


class Corridor(gym.Env[Any, Any]):
    """Pays 1 at its end; an episode takes as many steps as the corridor is long."""

    observation_space = gym.spaces.Box(0, 100, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, config: EnvContext):
        self.length, self.place = config["length"], (config.worker_index, config.vector_index)

    def set_task(self, length: int) -> None:
        self.length = length

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        over = self.t >= self.length
        return np.full(1, self.t, np.float32), float(over), over, False, {"t": self.t}


class Noting(DefaultCallbacks):
    """Counts what it is told, and reports how long episodes were."""

    told: list[str]

    def on_algorithm_init(self, *, algorithm: Any, **kwargs: Any) -> None:
        self.told = ["init"]

    def on_episode_start(self, *, episode: Any, **kwargs: Any) -> None:
        episode.user_data["start"] = True

    def on_episode_end(self, *, episode: Any, policies: Any, **kwargs: Any) -> None:
        assert episode.user_data["start"]
        assert set(policies) == {"default_policy"}
        episode.custom_metrics["steps"] = episode.last_info_for()["t"]

    def on_evaluate_start(self, *, algorithm: Any, **kwargs: Any) -> None:
        self.told.append("evaluate")

    def on_evaluate_end(self, *, algorithm: Any, evaluation_metrics: Any, **kwargs: Any) -> None:
        self.told.append(f"evaluated {evaluation_metrics['evaluation']['episode_reward_mean']}")

    def on_train_result(self, *, algorithm: Any, result: Any, **kwargs: Any) -> None:
        self.told.append(f"iteration {algorithm.iteration}")
        result["custom_metrics"]["mine"] = 3.0


def corridor(length: int = 5) -> PPOConfig:
    return (
        PPOConfig()
        .environment(Corridor, env_config={"length": length})
        .framework("torch")
        .training(lr=1e-3, gamma=0.9, train_batch_size=60, sgd_minibatch_size=30, num_sgd_iter=1)
        .training(model={"fcnet_hiddens": [4]})
        .rollouts(num_rollout_workers=0, num_envs_per_worker=2)
        .resources(num_gpus=0)
        .debugging(seed=1)
    )


def test_a_script_runs_as_it_stands() -> None:
    config = (
        corridor()
        .training(model={"fcnet_activation": "relu"})
        .callbacks(Noting)
        .evaluation(evaluation_interval=2, evaluation_duration=2, evaluation_config={"explore": False})
        .reporting(metrics_num_episodes_for_smoothing=10)
    )
    with closing(config.build()) as algo:
        assert algo.config.model.fcnet_hiddens == [4]
        assert algo.config.model.fcnet_activation == "relu"
        assert (algo.config.gamma, algo.config.return_window, algo.config.evaluation_episodes) == (0.9, 10, 2)
        results = [algo.train() for _ in range(4)]
        assert algo.get_policy().model is algo.policy.model
        told = algo._callbacks.told
    evaluated = ["evaluate", "evaluated 1.0"]
    assert told == ["init", "iteration 1", *evaluated, "iteration 2", "iteration 3", *evaluated, "iteration 4"]
    assert ["evaluation" in result for result in results] == [False, True, False, True]
    first = results[0]
    assert first["episode_reward_mean"] == first["episode_return_mean"] == 1.0
    assert first["custom_metrics"] == {"steps_mean": 5.0, "steps_min": 5.0, "steps_max": 5.0, "mine": 3.0}
    stats = first["info"]["learner"]["default_policy"]["learner_stats"]
    assert stats["policy_loss"] == first["learners"]["default_policy"]["policy_loss"] == first["learner"]["policy_loss"]
    assert first["env_runners"]["episode_reward_max"] == 1.0
    assert first.get("num_env_steps_sampled_lifetime") == first["timesteps_total"] == 60


def test_without_an_episode_the_mean_return_is_nan_as_in_rllib(caplog: pytest.LogCaptureFixture) -> None:
    OldResult.said = False
    result = OldResult({"timesteps_total": 3, "learner": {}})
    assert np.isnan(result["episode_reward_mean"])
    assert "episode_reward_mean" in result
    assert result["sampler_results"]["num_env_steps_sampled"] == 3
    assert list(result) == ["timesteps_total", "learner"]
    assert len(caplog.messages) == 1
    with pytest.raises(KeyError, match="no 'time_stuff'"):
        result["time_stuff"]


def test_the_metrics_of_a_model_are_beside_those_of_learning() -> None:
    learnt = {"policy_loss": 0.5, "model": {"imitation_loss": 1.5}}
    for learner in (learnt, {"policy_loss": 0.5}):
        policy = OldResult({"timesteps_total": 3, "learner": learner})["info"]["learner"]["default_policy"]
        assert policy["learner_stats"] == learner
        assert policy["model"] == learner.get("model", {})
    assert learnt["model"] == {"imitation_loss": 1.5}


def test_an_evaluation_has_the_old_names_that_have_a_meaning_for_it() -> None:
    result = EvaluationResult({"episode_return_mean": 2.0, "episodes": 3})
    assert result["evaluation"] is result.get("evaluation") is result
    assert (result["episode_reward_mean"], result["env_runners"]["num_episodes"]) == (2.0, 3)
    assert "evaluation" in result
    assert "evaluation" not in OldResult({})
    for name in ("info", "learners", "custom_metrics", "num_env_steps_sampled"):
        assert name not in result
        assert result.get(name) is None


def test_scripts_of_releases_before_two_change_a_copy_of_the_defaults() -> None:
    config = ppo.DEFAULT_CONFIG.copy()
    assert (config["num_workers"], config["lambda"], config["model"]["fcnet_hiddens"]) == (0, 1.0, [256, 256])
    config |= {**SMALL, "env_config": {"length": 3}}
    with (
        closing(ppo.PPO(env=Corridor, config=config)) as one,
        closing(ppo.PPO(env=Corridor, config={**SMALL, "env_config": {"length": 3}})) as other,
    ):
        assert one.config == other.config
    assert get_algorithm_class("PPO", return_config=True) == (ppo.PPO, ppo.DEFAULT_CONFIG)
    assert with_common_config({"lr": 1}) == {"lr": 1}
    with pytest.raises(ConfigError, match=r"there is no algorithm 'PPOO'\. Did you mean 'PPO'"):
        get_algorithm_class("PPOO")


def test_numbers_of_learning_have_their_old_names_too() -> None:
    learnt = {"lr": 0.1, "kl_coeff": 0.2, "explained_variance": 0.3}
    info = OldResult({"timesteps_total": 3, "learner": learnt})["info"]
    stats = info[LEARNER_INFO]["default_policy"][LEARNER_STATS_KEY]
    assert (stats["cur_lr"], stats["cur_kl_coeff"], stats["vf_explained_var"]) == (0.1, 0.2, 0.3)
    assert info["num_steps_sampled"] == info["num_env_steps_sampled"] == 3


def test_tasks_are_set_between_iterations() -> None:
    class Curriculum(DefaultCallbacks):
        def on_train_result(self, *, algorithm: Any, result: Any, **kwargs: Any) -> None:
            algorithm.workers.foreach_worker(lambda worker: worker.foreach_env(lambda env: env.set_task(3)))

    with closing(corridor().callbacks(Curriculum).build()) as algo:
        assert algo.train()["episode_len_mean"] == 5
        algo.train()
        assert algo.train()["episode_return_mean"] == 1
        assert algo.workers.foreach_env(lambda env: (env.length, env.place)) == [(3, (0, 0)), (3, (0, 1))]
        assert algo.counters.new[-1].length == 3
    native = {**SMALL, "vectorization": "native"}
    with (
        closing(ppo.PPO("CartPole-v1", native)) as algo,
        pytest.raises(ConfigError, match="no objects in this process"),
    ):
        algo.workers.local_worker().foreach_env(lambda env: env)


def test_several_callbacks_are_told_in_turn() -> None:
    said: list[str] = []

    def saying(word: str) -> type[DefaultCallbacks]:
        class Saying(DefaultCallbacks):
            def on_train_result(self, *, algorithm: Any, result: Any, **kwargs: Any) -> None:
                said.append(word)

        return Saying

    with closing(corridor().callbacks(make_multi_callbacks([saying("one"), saying("two")])).build()) as algo:
        algo.train()
    assert said == ["one", "two"]


def test_callbacks_of_the_new_stack_are_refused() -> None:
    class New(DefaultCallbacks):
        def on_episode_end(self, *, episode: Any, metrics_logger: Any = None, **kwargs: Any) -> None:
            metrics_logger.log_value("length", episode.length)

    with pytest.raises(ConfigError, match=r"New\.on_episode_end\(\) asks for `metrics_logger`.*`episode"):
        corridor().callbacks(New).build()


def test_callbacks_that_nobody_calls_are_refused() -> None:
    class Stepping(DefaultCallbacks):
        def on_episode_step(self, **kwargs: Any) -> None:
            pass

    class Looking(DefaultCallbacks):
        def on_episode_end(self, *, base_env: Any, **kwargs: Any) -> None:
            base_env.get_sub_environments()

    with pytest.raises(ConfigError, match=r"Stepping.on_episode_step\(\) is not called here: steps .*env/NAME"):
        corridor().callbacks(Stepping).build()

    class Told(DefaultCallbacks):
        def __init__(self, level: int) -> None:
            super().__init__()

    with pytest.raises(ConfigError, match=r"the callback Told needs arguments \(level\): derive"):
        corridor().callbacks(Told).build()

    class Loading(DefaultCallbacks):
        def on_checkpoint_loaded(self, **kwargs: Any) -> None:
            pass

    class Misspelt(DefaultCallbacks):
        def on_train_results(self, **kwargs: Any) -> None:
            pass

    with pytest.raises(ConfigError, match=r"Loading.on_checkpoint_loaded\(\) is not called here: there is no such"):
        corridor().callbacks(Loading).build()
    with pytest.raises(ConfigError, match=r"no such callback. Did you mean 'on_train_result'\?"):
        corridor().callbacks(Misspelt).build()
    beside = {"evaluation_parallel_to_training": True, "evaluation_num_env_runners": 1, "fleet": "serial"}
    beside |= {"evaluation_interval": 1}
    for kind in (Noting, make_multi_callbacks([Looking, Noting])):
        with pytest.raises(ConfigError, match=r"on_evaluate_start\(\) is not called with evaluation_parallel"):
            corridor().callbacks(kind).evaluation(**beside).build()
    corridor().callbacks(make_multi_callbacks([Looking])).evaluation(**beside).build().stop()
    what = r"base_env.get_sub_environments: .*another episode.*last_info_for"
    with closing(corridor().callbacks(Looking).build()) as algo, pytest.raises(AttributeError, match=what):
        algo.train()
    with pytest.raises(ConfigError, match="a class derived from DefaultCallbacks, but 3 came"):
        ppo.PPO(Corridor, {**SMALL, "env_config": {"length": 3}, "callbacks": 3})


def test_checkpoints_go_on_with_any_door(tmp_path: Any) -> None:
    with closing(ppo.PPO(env="CartPole-v1", config=SMALL)) as algo:
        algo.train()
        algo.save(tmp_path)
        weights = algo.get_weights()
    for kind in (Algorithm, ppo.PPO):
        loaded = kind.from_checkpoint(str(tmp_path))
        assert type(loaded) is ppo.PPO
        assert loaded.iteration == 1
        assert loaded.train()["num_env_steps_sampled"] > 100
        loaded.stop()
    with closing(ppo.PPO(env="CartPole-v1", config=SMALL)) as other:
        other.restore(tmp_path)
        model = {name: value for name, value in other.get_weights().items() if name.startswith("model/")}
        assert all(np.array_equal(value, weights[name]) for name, value in model.items())
    assert type(anyspace.Algorithm.load(tmp_path)) is anyspace.PPO


def test_keys_without_an_effect_are_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "anyspace"):
        config = PPOConfig().environment("CartPole-v1").framework("tf2").experimental(enable_connectors=True)
        config.debugging(log_level="ERROR").resources(num_learners=0).training(shuffle_sequences=True)
        given = config.framework("torch").to_dict()
        with closing(ppo.PPO(config={**given, **SMALL})):
            pass
    assert "`enable_connectors`, `log_level`, `num_learners`, `shuffle_sequences`; left out" in caplog.text


def test_an_environment_without_a_configuration() -> None:
    assert PPOConfig().environment("CartPole-v1", env_config=None).to_dict() == {"env": "CartPole-v1"}
    with closing(ppo.PPO("CartPole-v1", {**SMALL, "env_config": None})) as algo:
        assert algo.config.env_config == {}


def test_keys_are_read_and_set() -> None:
    config = PPOConfig()
    assert config.lr == config["lr"] == config.get("lr") == 5e-5
    assert config.model["fcnet_hiddens"] == [256, 256]
    config.lr = 1e-3
    config["gamma"] = 0.5
    config.model["fcnet_hiddens"] = [3]
    config.update_from_dict({"model": {"fcnet_activation": "relu"}, "num_sgd_iter": 2})
    copied = config.copy()
    copied.model["fcnet_hiddens"] = [5]
    assert config.to_dict() == {
        "lr": 1e-3,
        "gamma": 0.5,
        "model": {"fcnet_hiddens": [3], "fcnet_activation": "relu"},
        "num_epochs": 2,
    }
    assert copied.num_sgd_iter == PPOConfig.from_dict({"num_sgd_iter": 2}).num_sgd_iter == 2
    copied.model["fcnet_hiddens"].append(6)
    copy.copy(config).lr = 2.0
    assert (config.lr, config.model["fcnet_hiddens"]) == (1e-3, [3])
    assert config.get("no_such_key", 7) == 7
    assert (config.model.get("fcnet_activation"), config.model.get("use_lstm"), config.model.get("no")) == (
        "relu",
        False,
        None,
    )
    assert "use_lstm" in config.model
    assert "no" not in config.model
    # The older name and today's are one key, and the later value counts.
    config.rollouts(num_rollout_workers=2).evaluation(evaluation_duration=3).training(num_sgd_iter=3)
    assert (config.num_epochs, config.num_env_runners, config.evaluation_episodes) == (3, 2, 3)
    assert (config.num_workers, config.evaluation_num_episodes) == (2, 3)
    config.env_runners(num_env_runners=0).training(num_epochs=4)
    assert (config.num_sgd_iter, config.num_rollout_workers) == (4, 0)
    with pytest.raises(AttributeError, match="PPOConfig has no key `no_such_key`"):
        _ = config.no_such_key
    built = (
        AlgorithmConfig(algo_class=ppo.PPO).environment("CartPole-v1").update_from_dict(config.to_dict()).build_algo()
    )
    assert built.config.model.fcnet_hiddens == [3]
    built.stop()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PPOConfig().multi_agent(policies={"one"}), "Several agents"),
        (
            lambda: PPOConfig().api_stack(enable_rl_module_and_learner=True).build("CartPole-v1"),
            "RLlib's old API stack",
        ),
        (lambda: PPOConfig().environment("CartPole-v1").training(lrr=1).build(), "unknown config key `lrr`"),
        (lambda: AlgorithmConfig().environment("CartPole-v1").build(), "names the algorithm that is to be built"),
        (lambda: PPOConfig().evaluation(evaluation_duration_unit="timesteps").build("CartPole-v1"), "whole episodes"),
    ],
)
def test_what_has_no_meaning_is_refused(build: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_numbers_of_episodes_are_averaged() -> None:
    assert averaged([{"x": 1.0}, {"x": 4.0, "y": 2.0}]) == {
        "x_mean": 2.5,
        "x_min": 1.0,
        "x_max": 4.0,
        "y_mean": 2.0,
        "y_min": 2.0,
        "y_max": 2.0,
    }


@pytest.mark.parametrize("came", ["high", np.array([1, 2]), None])
def test_a_metric_of_an_episode_is_a_number(came: Any) -> None:
    with pytest.raises(ConfigError, match=r"custom_metrics\['x'\] takes one number for an episode, but"):
        averaged([{"x": came}])


def test_the_configuration_may_come_first_as_in_rllib() -> None:
    keys: dict[str, Any] = {"lr": 0.25, "model": {"fcnet_hiddens": [4]}}
    ways: list[Callable[[], ppo.PPO]] = [
        lambda: ppo.PPO(keys, "CartPole-v1"),
        lambda: ppo.PPO(keys, env="CartPole-v1"),
        lambda: ppo.PPO({**keys, "env": "CartPole-v1"}),
        lambda: ppo.PPO(ppo.PPOConfig().training(**keys), "CartPole-v1"),
        lambda: ppo.PPO("CartPole-v1", keys),
    ]
    for way in ways:
        with closing(way()) as algo:
            assert (algo.config.lr, algo.env_spec.name) == (0.25, "CartPole-v1")
    with pytest.raises(TypeError, match="`env` is given twice"):
        ppo.PPO("CartPole-v1", env="CartPole-v1")


def test_an_interval_of_one_evaluates_in_every_iteration_though_resets_take_steps() -> None:
    keys = {"train_batch_size": 64, "sgd_minibatch_size": 64, "num_sgd_iter": 1, "num_envs_per_worker": 2}
    more = {"evaluation_interval": 1, "evaluation_duration": 1, "model": {"fcnet_hiddens": [4]}, "seed": 0}
    with closing(ppo.PPO(env="CartPole-v1", config={**keys, **more})) as algo:
        results = [algo.train() for _ in range(3)]
    assert min(result["timesteps_this_iter"] for result in results) < 64
    assert all("evaluation" in result for result in results)


def test_an_algorithm_takes_a_builder_and_saves_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(ppo.PPO(config=corridor())) as algo:
        assert algo.config.lr == 1e-3
        algo.train()
        saved = algo.save()
        assert saved.parent == Path("runs")
        assert saved.name.startswith("ppo-")
    with closing(Algorithm.from_checkpoint(saved, trust=True, callbacks=Noting)) as again:
        again._callbacks.on_algorithm_init(algorithm=again)
        assert again.train()["custom_metrics"]["mine"] == 3.0


def test_restore_goes_on_with_everything(tmp_path: Path) -> None:
    schedules = {"lr_schedule": [[0, 1e-3], [600, 0.0]], "entropy_coeff_schedule": [[0, 0.1], [600, 0.0]]}
    config = corridor().training(**schedules)
    with closing(config.build()) as algo, closing(config.build()) as other:
        for _ in range(3):
            algo.train()
        algo.save(tmp_path / "saved")
        other.train()
        other.restore(tmp_path / "saved")
        expected, found = algo.train(), other.train()
        assert found["training_iteration"] == expected["training_iteration"] == 4
        assert found["timesteps_total"] == 240
        for name in ("lr", "entropy_coeff", "kl_coeff"):
            assert found["learner"][name] == expected["learner"][name]
    with (
        closing(corridor().training(model={"fcnet_hiddens": [5]}).build()) as another,
        pytest.raises(CheckpointError, match="the weights do not fit the model"),
    ):
        another.restore(tmp_path / "saved")


@pytest.mark.parametrize("memory", [{}, {"use_lstm": True, "lstm_cell_size": 3}])
def test_an_algorithm_acts_as_rllib_s_does(memory: dict[str, Any]) -> None:
    """Who hands in a list of arrays gets three values at every step; the others get what `anyspace.PPO` gives them."""
    with closing(corridor().training(model=memory).build()) as algo:
        obs, state = np.zeros((5, 1), np.float32), [np.zeros(3), np.zeros(3)] if memory else []
        theirs, mine, own = [], [], None
        for one in obs:
            action, state, info = algo.compute_single_action(one, state, prev_action=0, clip_action=True, explore=False)
            theirs.append((int(action), info))
            found = algo.compute_action(one, own)
            action, own = found if memory else (found, None)
            mine.append((int(action), {}))
        assert theirs == mine
        assert algo.compute_single_action(obs[0], full_fetch=True)[2] == {}


@pytest.mark.parametrize("memory", [{}, {"use_lstm": True, "lstm_cell_size": 3}])
def test_a_policy_acts_as_rllib_s_does(memory: dict[str, Any]) -> None:
    with closing(corridor().training(model=memory).build()) as algo:
        policy, obs = algo.get_policy(), np.zeros((3, 1), np.float32)
        assert policy.is_recurrent() == bool(memory)
        assert policy.num_state_tensors() == (2 if memory else 0)
        state = policy.get_initial_state()
        action, state, info = policy.compute_single_action(obs[0], state, explore=True)
        assert action in (0, 1)
        assert info == {}
        policy.compute_single_action(obs[0], state=state)
        actions, _, info = policy.compute_actions(obs, timestep=3)
        assert actions.shape == (3,)
        assert info == {}
        assert algo.compute_single_action(obs[0], policy_id="default_policy") is not None
        policy.set_weights({name: 0 * value for name, value in policy.get_weights().items()})
        assert not any(value.any() for name, value in algo.get_weights().items() if name.startswith("model/"))
        assert "obs" in policy.view_requirements
        inputs = np.zeros((3, 2), np.float32)
        assert policy.dist_class(policy.runtime.asarray(inputs), policy.model).logp(actions).shape == (3,)
        with pytest.raises(AttributeError, match="policies have no such attribute here"):
            _ = policy.loss_initialized
        if memory:
            policy.compute_actions(obs, [np.zeros((3, 3)), np.zeros((3, 3))])
            for own in ([np.ones(3), np.ones(3)], [np.ones(2)]):
                with pytest.raises(ObservationError, match="arrays of your own make no state"):
                    policy.compute_single_action(obs[0], own)


def test_releases_before_two_had_trainers() -> None:
    from anyspace.rllib.agents.ppo import PPOTrainer
    from anyspace.rllib.agents.ppo.ppo import PPOTrainer as Same

    class Old(DefaultCallbacks):
        def on_train_result(self, *, trainer: Any, result: Any, **kwargs: Any) -> None:  # type: ignore[override]
            result["seen"] = trainer.iteration

    assert PPOTrainer is Same is ppo.PPO
    config = {**SMALL, "callbacks": Old, "env_config": {"length": 5}, "num_workers": 0}
    with closing(PPOTrainer(env=Corridor, config=config)) as algo:
        assert algo.train()["seen"] == 1


def test_keys_at_their_defaults_are_left_out() -> None:
    defaults = {"opt_type": "adam", "evaluation_config": {}, "sample_async": False, "create_env_on_local_worker": True}
    with closing(ppo.PPO("CartPole-v1", {**SMALL, **defaults, "min_sample_timesteps_per_iteration": 0})) as algo:
        assert algo.config.train_batch_size == 60
    with closing(IMPALA("CartPole-v1", {"opt_type": "rmsprop", "model": {"fcnet_hiddens": [4]}})) as algo:
        assert algo.config.opt == "rmsprop"
    with pytest.raises(ConfigError, match="sample_async"):
        ppo.PPO("CartPole-v1", {**SMALL, "sample_async": True})


@pytest.mark.parametrize("path", ["algorithms.td3", "agents.ddpg", "algorithms.cql.cql"])
def test_other_algorithms_are_named_as_such(path: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="not among the algorithms that are offered"):
        import_module(f"anyspace.rllib.{path}")


def test_keys_within_keys_are_kept_though_none_was_given_before() -> None:
    config = DQNConfig()
    config.env_config["size"] = 5
    config["exploration_config"]["epsilon_timesteps"] = 9
    assert config.to_dict() == {"env_config": {"size": 5}, "exploration_config": {"epsilon_timesteps": 9}}
    sac = SACConfig()
    assert not sac.policy_model_config
    sac.q_model_config["fcnet_hiddens"] = [3]
    assert sac.to_dict() == {"q_model_config": {"fcnet_hiddens": [3]}}


def trained(builder: type[AlgorithmConfig], seed: int, reward: float, **keys: Any) -> Any:
    """Return an algorithm after an iteration in an environment that pays the same at every step."""
    env_config = {"length": 10, "reward": reward}
    algorithm = builder().environment(Paying, env_config=env_config).update_from_dict({"seed": seed, **keys}).build()
    algorithm.train()
    return algorithm


class Paying(Corridor):
    """Pays the same at every step."""

    def __init__(self, config: EnvContext):
        super().__init__(config)
        self.reward = config["reward"]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, _, over, cut, info = super().step(action)
        return obs, self.reward, over, cut, info


def test_restore_leaves_nothing_of_another_run(tmp_path: Path) -> None:
    """An algorithm that has trained goes on from a checkpoint as one does that is loaded from it."""
    with closing(trained(PPOConfig, 1, 1.0, **SMALL)) as algo, closing(trained(PPOConfig, 2, 0.0, **SMALL)) as other:
        other.restore(algo.save(tmp_path / "a"))
        assert other.counters.latest.mean_return == 10.0


def test_restore_reaches_the_workers(tmp_path: Path) -> None:
    keys = {**SMALL, "num_env_runners": 1, "evaluation_num_env_runners": 1, "fleet": "serial"}
    with closing(trained(PPOConfig, 1, 1.0, **keys)) as algo, closing(trained(PPOConfig, 2, 1.0, **keys)) as other:
        other.evaluate(1)
        other.restore(algo.save(tmp_path / "a"))
        other.evaluate(1)
        other.fleet.gather(10)
        for dispatcher in (other.evaluator._dispatcher, other.fleet._dispatcher):
            weights = dispatcher._slots[0].worker.policy.weights()
            for name, value in algo.get_weights().items():
                if name.startswith("model/"):
                    np.testing.assert_array_equal(weights[name], value)


REPLAYING = {
    "store_buffer_in_checkpoints": True,
    "min_sample_timesteps_per_iteration": 200,
    "num_steps_sampled_before_learning_starts": 100,
    "training_intensity": 1.0,
    "replay_capacity": 1_000,
    "model": {"fcnet_hiddens": [4]},
}


@pytest.mark.parametrize("prioritised", [False, True])
def test_restore_exchanges_what_is_replayed(tmp_path: Path, prioritised: bool) -> None:
    keys = {**REPLAYING, "prioritized_replay": prioritised}
    with closing(trained(DQNConfig, 1, 1.0, **keys)) as algo, closing(trained(DQNConfig, 2, 2.0, **keys)) as other:
        other.train()
        other.save(tmp_path / "before")
        other.restore(algo.save(tmp_path / "a"))
        assert len(other.replay) == len(algo.replay) == 200
        other.save(tmp_path / "b")
        with closing(Algorithm.load(tmp_path / "b", env=Paying)) as loaded:
            for replay in (other.replay, loaded.replay):
                assert set(replay.draw(100, np.random.default_rng(0)).trajectory.rewards.ravel()) == {1.0}


def test_restore_exchanges_recent_trajectories(tmp_path: Path) -> None:
    keys = {"train_batch_size": 50, "replay_proportion": 1.0, "store_buffer_in_checkpoints": True}
    keys["model"] = {"fcnet_hiddens": [4]}
    with (
        closing(trained(IMPALAConfig, 1, 1.0, **keys)) as algo,
        closing(trained(IMPALAConfig, 2, 2.0, **keys)) as other,
    ):
        other.restore(algo.save(tmp_path / "a"))
        assert len(other.recent) == len(algo.recent)
        assert {float(one.rewards.mean()) for one in other.recent._kept} == {1.0}


def test_the_base_class_loads_any(tmp_path: Path) -> None:
    with closing(corridor().build()) as algo:
        algo.train()
        saved = algo.save(tmp_path / "a")
    with closing(Algorithm.load(saved, env=Corridor)) as loaded:
        assert type(loaded) is ppo.PPO
        assert loaded.iteration == 1


def test_what_callbacks_note_on_an_algorithm_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    class Curriculum(DefaultCallbacks):
        def on_algorithm_init(self, *, algorithm: Any, **kwargs: Any) -> None:
            algorithm.level = 0

        def on_train_result(self, *, algorithm: Any, result: Any, **kwargs: Any) -> None:
            algorithm.level += 1

    with closing(corridor().callbacks(Curriculum).build()) as algo:
        for _ in range(3):
            algo.train()
        assert algo.level == 3
    told = [message for message in caplog.messages if "level" in message]
    assert len(told) == 1
    assert told[0].startswith("PPO.level was set from outside: no checkpoint holds it")
