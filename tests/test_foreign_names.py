"""What names of other libraries are answered with."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import re
from abc import ABC
from collections.abc import Mapping
from contextlib import closing
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
import pytest
from gymnasium.spaces import Discrete, Tuple
from gymnasium.wrappers import FlattenObservation

import anyspace
import anyspace.algorithms
from anyspace import DQN, PPO, SAC, Callback, Policy, check_env
from anyspace import foreign_names as foreign
from anyspace.answers import ExplainsOnClass
from anyspace.distributions import ActionDistribution, Categorical, MultiActionDistribution
from anyspace.errors import ConfigError
from anyspace.execution.metrics import TrainingResult
from anyspace.homes import HOMES

SMALL: dict[str, Any] = {
    "num_envs_per_env_runner": 2,
    "train_batch_size": 32,
    "minibatch_size": 32,
    "num_epochs": 1,
    "seed": 0,
    "model": {"fcnet_hiddens": [4]},
}
HERE = {
    PPO: (
        "timesteps_total training_iteration env_spec rewards get_weights set_weights load_weights config.num_envs fleet"
        " counters.latest.episodes policy.runtime.device policy.env_action_space policy.observation_space policy.filter"
        " policy.evaluate policy.model_inputs policy.encode policy.weights policy.load_weights policy.to_env"
        " learner.state config.lr policy.export policy.compute_actions evaluator policy.model"
    ),
    DQN: "replay policy.exploration.epsilon target.model config.store_buffer_in_checkpoints config.exact_resume",
    SAC: "replay policy.model.log_alphas target.model",
}
"""What the answers name."""


@pytest.fixture(scope="module")
def algorithm() -> Any:
    with closing(PPO("CartPole-v1", **SMALL)) as built:
        yield built


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        *((kind, foreign.ALGORITHM) for kind in (PPO, DQN, SAC)),
        (Policy, foreign.POLICY),
        (ActionDistribution, ActionDistribution._foreign),
        (Callback, foreign.CALLBACK),
        (Callback, foreign.CALLBACK_METHODS),
        (TrainingResult, foreign.RESULT),
        *((kind.config_class, foreign.SETTINGS) for kind in (PPO, DQN, SAC)),
    ],
)
def test_nothing_that_is_there_counts_as_foreign(kind: type, table: Mapping[str, str]) -> None:
    assert not [name for name in table if hasattr(kind, name)]


@pytest.mark.parametrize("kind", HERE)
def test_what_the_answers_name_is_there(kind: type[PPO]) -> None:
    env = "Pendulum-v1" if kind is SAC else "CartPole-v1"
    with closing(kind(env, preset="none", model={"fcnet_hiddens": [4]})) as built:
        for path in HERE[kind].split():
            attrgetter(path)(built)
        inputs = built.policy.model_inputs(built.policy.encode(np.zeros((2, 3 if kind is SAC else 4), np.float32)))
        assert inputs["obs"].shape[0] == 2


def test_attributes_of_other_libraries_are_explained(algorithm: PPO) -> None:
    result = TrainingResult()
    distribution = algorithm.policy.get_distribution(np.zeros((2, 4), np.float32))
    pair = Tuple([Discrete(2), Discrete(3)])
    nested = MultiActionDistribution(
        np.zeros((1, 5)), child_distributions=[Categorical] * 2, input_lens=[2, 3], action_space=pair
    )
    for owner, name, answer in (
        (algorithm, "get_env", "'PPO' object has no attribute 'get_env'. `env_spec` says what"),
        (algorithm, "stop", "'PPO' object has no attribute 'stop'. close() closes the environments."),
        (algorithm, "export", "It is a method of the policy here: policy.export("),
        (algorithm.policy, "predict", "'Policy' object has no attribute 'predict'. policy.compute_single_action(obs)"),
        (Callback(), "num_timesteps", "'Callback' object has no attribute 'num_timesteps'. The algorithm is handed to"),
        (algorithm.config, "to_dict", "no attribute 'to_dict'. Settings are attributes: algorithm.config.lr; vars"),
        (distribution, "log_prob", "'Categorical' object has no attribute 'log_prob'. It is called logp(actions)"),
        (distribution, "mode", "no attribute 'mode'. deterministic_sample() gives the likeliest action"),
        (nested, "probs", "no attribute 'probs'. option_log_probs() lists the log-probabilities of the options"),
        (result, "predict", "'TrainingResult' object has no attribute 'predict'. learn() returns the numbers of"),
    ):
        with pytest.raises(AttributeError, match=re.escape(answer)) as error:
            getattr(owner, name)
        assert (error.value.name, error.value.obj) == (name, owner)
        assert not hasattr(owner, name)


def test_another_environment_is_made_as_its_answer_says() -> None:
    settings = {**SMALL, "env_config": {"max_episode_steps": 7}, "wrappers": [FlattenObservation]}
    with closing(PPO("CartPole-v1", settings)) as own:
        with pytest.raises(AttributeError, match=r"env_spec\.make\(\) makes another one like it"):
            _ = own.env  # type: ignore[attr-defined]
        env = own.env_spec.make()
    assert isinstance(env, FlattenObservation)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 7


@pytest.mark.parametrize(
    ("kind", "name", "answer"),
    [
        (PPO, "from_checkpoint", ". load(path), a method of the class, returns the algorithm of a checkpoint."),
        (anyspace.Algorithm, "restore", ". load(path), a method of the class, returns the algorithm of a checkpoint."),
        (Policy, "from_checkpoint", ". Policy.load(path) returns the policy of a checkpoint, which"),
        (PPO, "colour", ""),
    ],
)
def test_what_a_class_lacks_is_explained_as_well(kind: type, name: str, answer: str) -> None:
    message = f"type object {kind.__name__!r} has no attribute {name!r}{answer}"
    with pytest.raises(AttributeError, match=re.escape(message) + ("" if answer else "$")) as error:
        getattr(kind, name)
    assert (error.value.name, error.value.obj) == (name, kind)


def test_a_class_that_explains_nothing_lacks_attributes_as_others_do() -> None:
    class Silent(metaclass=ExplainsOnClass):
        pass

    with pytest.raises(AttributeError, match=r"^type object 'Silent' has no attribute 'colour'$"):
        _ = Silent.colour  # type: ignore[attr-defined]


def test_protocols_and_abstract_classes_are_bases_beside_it() -> None:
    class Named(Protocol):
        def label(self) -> str: ...

    class Mine(PPO, Named, ABC):
        def label(self) -> str:
            return "mine"

    algorithm = Mine("CartPole-v1")
    assert algorithm.label() == "mine"
    assert [isinstance(one, kind) for one in (algorithm, 1) for kind in (PPO, Mine)] == [True, True, False, False]
    with pytest.raises(AttributeError, match="returns the algorithm of a checkpoint"):
        _ = Mine.from_checkpoint


def test_other_attributes_are_python_s_own_matter(algorithm: PPO) -> None:
    for owner in (algorithm, algorithm.policy, Callback(), TrainingResult()):
        with pytest.raises(AttributeError, match=rf"^'{type(owner).__name__}' object has no attribute 'colour'$"):
            _ = owner.colour  # type: ignore[attr-defined]
        assert not hasattr(owner, "__colour__")
    assert copy.copy(algorithm.policy).model is algorithm.policy.model
    result = TrainingResult(a=1)
    assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == result


def test_an_error_within_a_property_keeps_its_words() -> None:
    class Mine(Callback):
        @property
        def logger(self) -> int:
            raise AttributeError("no pen")

        @property
        def paper(self) -> int:
            return self.colour  # type: ignore[attr-defined,no-any-return]

    with pytest.raises(AttributeError, match=r"^no pen$"):
        _ = Mine().logger
    with pytest.raises(AttributeError, match=r"has no attribute 'colour'$"):
        _ = Mine().paper


def test_arguments_of_other_libraries_are_answered(algorithm: Any) -> None:
    some = np.zeros(4, np.float32)
    for call, answer in (
        (
            lambda: algorithm.learn(9, log_interval=1),
            "no argument 'log_interval' of learn(); every iteration is logged",
        ),
        (lambda: algorithm.learn(9, progres=True), "no argument 'progres' of learn(). Did you mean 'progress'?"),
        (lambda: algorithm.learn(9, print), "learn() is not called so: all but the number of steps is named"),
        (lambda: algorithm.train(1000), "train() is not called so: it runs one iteration"),
        (lambda: algorithm.train(out="x"), "no argument 'out' of train(); train() runs one iteration; learn(steps"),
        (lambda: algorithm.evaluate(n_eval_episodes=3), "no argument 'n_eval_episodes' of evaluate(); it is called"),
        (lambda: algorithm.evaluate("CartPole-v1", 3), "evaluate() is not called so: it takes how many `episodes`"),
        (lambda: algorithm.save("x", exclude=["y"]), "no argument 'exclude' of save(); a checkpoint holds"),
        (lambda: algorithm.save("x", ["y"]), "save() is not called so: it takes the path alone."),
        (lambda: PPO.load("x", "CartPole-v1"), "load() is not called so: all but the path is named"),  # type: ignore[misc]
        (lambda: algorithm.predict(some, states=1), "no argument 'states' of predict(); it is called `state`."),
        (lambda: check_env("CartPole-v1", warn=True), "no argument 'warn' of check_env(); what it"),  # type: ignore[call-arg]
        (lambda: check_env("CartPole-v1", True), "check_env() is not called so"),  # type: ignore[misc]
    ):
        with pytest.raises(TypeError, match=re.escape(answer)):
            call()


def test_signatures_stay_as_they_are() -> None:
    assert [*inspect.signature(PPO.evaluate).parameters] == [
        "self",
        "episodes",
        "explore",
        "render",
        "progress",
        "seed",
    ]
    assert [*inspect.signature(PPO).parameters] == ["env", "config", "preset", "overrides"]
    assert [*inspect.signature(check_env).parameters] == ["env", "steps", "seed"]


@pytest.mark.parametrize(
    ("given", "named", "answer"),
    [
        (("MlpPolicy",), {}, "PPO('MlpPolicy', ...): leave 'MlpPolicy' out: PPO(env)."),
        (("MlpPolicy", "CartPole-v1"), {}, "PPO(env)."),
        (("CnnPolicy", "CartPole-v1", 3e-4, 2048), {}, "leave 'CnnPolicy' out: PPO(env)."),
        (("MlpPolicy",), {"env": "CartPole-v1", "verbose": 1}, "PPO(env)."),
        (("MlpLstmPolicy", "CartPole-v1"), {}, "leave 'MlpLstmPolicy' out: PPO(env, model={'use_lstm': True})."),
        ((type("ActorCriticPolicy", (), {"__module__": "stable_baselines3.x"}), "CartPole-v1"), {}, "PPO(env)."),
    ],
)
def test_a_policy_before_the_environment_is_left_out(given: Any, named: dict[str, Any], answer: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(answer)):
        PPO(*given, **named)


def test_names_of_other_modules_are_where_it_is_said() -> None:
    for name, home in HOMES.items():
        assert getattr(importlib.import_module(home), name).__class__ is not None
    with pytest.raises(ImportError, match=r"from anyspace\.execution\.callbacks import RecordVideo$"):
        exec("from anyspace import RecordVideo")


@pytest.mark.parametrize("package", [anyspace, anyspace.algorithms])
@pytest.mark.parametrize("name", foreign.MODULE)
def test_what_other_packages_have_is_answered(package: Any, name: str) -> None:
    answer = re.escape(f"module {package.__name__!r} has no attribute {name!r}. {foreign.MODULE[name]}")
    assert not hasattr(package, name)
    with pytest.raises(AttributeError, match=answer):
        getattr(package, name)
    for statement in (f"from {package.__name__} import {name}", f"import {package.__name__}.{name}"):
        with pytest.raises(ImportError, match=answer):
            exec(statement)


def test_other_imports_are_python_s_own_matter() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Colour' from 'anyspace'"):
        exec("from anyspace import Colour")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'anyspace\.colour'"):
        exec("import anyspace.colour")
