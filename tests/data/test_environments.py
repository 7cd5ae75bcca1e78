"""Every way to name an environment."""

from __future__ import annotations

import functools
import importlib
import re
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace.data import environments
from anyspace.data.environments import EnvSpec, register_env
from anyspace.data.sources import make_source
from anyspace.errors import ConfigError, EnvironmentSetupError
from tests.support.environments import Dice, Script


def number(env: gym.Env[Any, Any]) -> int:
    return int(env.reset()[0]["where"][0])


@pytest.fixture(autouse=True)
def _registered_names_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_creators", {})


# ------------------------------------------------------------------------------------- ids and names


@pytest.mark.parametrize("name", ["CartPole-v1", "CartPole"])
def test_an_id_of_gymnasiums(name: str) -> None:
    env = EnvSpec(name, {"max_episode_steps": 7, "sutton_barto_reward": True}).make()
    assert env.spec is not None
    assert (env.spec.id, env.spec.max_episode_steps) == ("CartPole-v1", 7)
    assert env.unwrapped._sutton_barto_reward is True  # type: ignore[attr-defined]


def test_an_unknown_id_names_the_nearest() -> None:
    register_env("my-labyrinth", Script)
    with pytest.raises(EnvironmentSetupError, match=r"'CartPol-v1'.* Did you mean .*'CartPole-v1'"):
        EnvSpec("CartPol-v1").make()
    with pytest.raises(EnvironmentSetupError, match=r"'cartpole-v1'.* Did you mean .*'CartPole-v1'"):
        EnvSpec("cartpole-v1").make()
    with pytest.raises(EnvironmentSetupError, match=r"'my-labyrint'.* Did you mean 'my-labyrinth'"):
        EnvSpec("my-labyrint").make()
    with pytest.raises(EnvironmentSetupError, match=r"^no environment is known as 'Qqqqq'. Give a Gymnasium id"):
        EnvSpec("Qqqqq").make()


def test_a_registered_name() -> None:
    register_env("script", lambda config: Script(**config))
    assert number(EnvSpec("script", {"number": 6}).make()) == 6
    register_env("script", Script)
    assert number(EnvSpec("script", {"number": 7}).make()) == 7
    assert EnvSpec("script").describe() == "script"


@pytest.mark.parametrize(("name", "creator"), [(3, Script), (Script, "script"), ("script", 4)])
def test_what_cannot_be_registered(name: Any, creator: Any) -> None:
    with pytest.raises(ConfigError, match=r"^register_env takes a name and what makes an environment"):
        register_env(name, creator)


def test_a_registered_name_goes_before_an_id() -> None:
    register_env("CartPole-v1", Script)
    assert number(EnvSpec("CartPole-v1", {"number": 3}).make()) == 3


MODULE = """
import gymnasium as gym
import numpy as np

class Mine(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, size=1):
        self.size = size

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

class Outer:
    class Inner(Mine):
        pass

class Doubled(gym.Wrapper):
    pass

def forgets(env):
    pass

THING = 5
gym.register("Registered-v3", Mine, kwargs={"size": 4})
gym.register("Plain", Mine, kwargs={"size": 5})
gym.register("Mine", Mine, kwargs={"size": 6})
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module within a package."""
    package = tmp_path / "own_package_of_a_test"
    package.mkdir()
    (package / "envs.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    monkeypatch.setattr(gym, "registry", gym.envs.registration.registry)
    return "own_package_of_a_test.envs"


def test_a_class_by_its_dotted_name(module: str) -> None:
    env = EnvSpec(f"{module}:Mine", {"size": 3}).make()
    assert (type(env).__name__, env.size) == ("Mine", 3)  # type: ignore[attr-defined]
    assert type(EnvSpec(f"{module}:Outer.Inner").make()).__name__ == "Inner"


def test_an_id_that_a_package_registers(module: str) -> None:
    env = EnvSpec(f"{module}:Registered-v3").make()
    assert env.unwrapped.size == 4  # type: ignore[attr-defined]
    with pytest.raises(EnvironmentSetupError, match=r"Registred-v3'.* Did you mean .*'Registered-v3'"):
        EnvSpec(f"{module}:Registred-v3").make()


def test_an_id_without_a_version_that_a_package_registers(module: str) -> None:
    assert EnvSpec(f"{module}:Plain").make().unwrapped.size == 5  # type: ignore[attr-defined]
    assert EnvSpec(f"{module}:Mine").make().unwrapped.size == 1  # type: ignore[attr-defined]
    with pytest.raises(EnvironmentSetupError, match=r"envs:CartPole' cannot be imported: .* no attribute 'CartPole'"):
        EnvSpec(f"{module}:CartPole").make()


def test_ids_of_packages_that_are_not_known(module: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=r"with the package in front \(`package:FlappyBird-v0`\)"):
        EnvSpec("FlappyBird-v0").make()
    with pytest.raises(EnvironmentSetupError, match=rf"^{module} was imported, but registers no .* with Gymnasium\."):
        EnvSpec(f"{module}:Sokoban-v2").make()
    for name, why in (
        ("no_such_package:coin-run-v0", "No module named"),
        ("no-name:Env-v0", "'no-name' is no name"),
    ):
        with pytest.raises(EnvironmentSetupError, match=f"^'{name}' cannot be imported: {why}"):
            EnvSpec(name).make()


def test_wrappers_by_dotted_name_and_as_callables(module: str) -> None:
    class Outermost(gym.Wrapper[Any, Any, Any, Any]):
        pass

    def twice(env: Any) -> Any:
        return Outermost(Outermost(env))

    env = EnvSpec(Script, wrappers=[f"{module}:Doubled", twice]).make()
    layers = []
    while isinstance(env, gym.Wrapper):
        layers.append(type(env).__name__)
        env = env.env
    assert layers == ["Outermost", "Outermost", "Doubled"]


def test_dotted_names_are_those_with_a_colon(module: str) -> None:
    spec = EnvSpec(f"{module}.Script")
    assert spec.env == spec.describe() == f"{module}:Script"
    register_env("some.thing", lambda: spec.make())
    assert EnvSpec("some.thing").env == "some.thing"
    for other in ("CartPole-v1", "ALE/Pong-v5", f"{module}:Script", "no dots.here"):
        assert EnvSpec(other).env == other


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}:Nobody", "cannot be imported.*Nobody"),
        ("no_such_package:Env", "cannot be imported.*no_such_package"),
        ("no_such_package:Env-v0", "cannot be imported.*no_such_package"),
        ("{}:THING", "is int, not a class or a function"),
    ],
)
def test_names_that_cannot_be_imported(module: str, name: str, message: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=message):
        EnvSpec(name.format(module)).make()


@pytest.mark.parametrize(
    ("name", "message"), [("{}:Nobody", "cannot be imported.*Nobody"), ("{}:THING", "is int, not")]
)
def test_wrappers_that_cannot_be_imported(module: str, name: str, message: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=message):
        EnvSpec(Script, wrappers=[name.format(module)]).make()


# --------------------------------------------------------------------------- classes, callables, instances


class OnlyConfig(Script):
    def __init__(self, config: dict[str, Any]):
        super().__init__(config.pop("number"))


class OnlySize(Script):
    def __init__(self, size: int = 9):
        super().__init__(size)


class OnlyNumber(Script):
    def __init__(self, number: int):
        super().__init__(number)


class Consuming(Script):
    """Takes the number from a list of its configuration."""

    def __init__(self, config: dict[str, Any]):
        super().__init__(config["numbers"].pop())


def consuming(numbers: list[int], **_: Any) -> Script:
    return Script(numbers.pop())


@pytest.mark.parametrize("env", [Consuming, consuming, "Consuming-v0"])
def test_what_an_environment_changes_in_its_arguments_is_there_for_the_next_one(env: Any) -> None:
    gym.register("Consuming-v0", consuming)
    spec = EnvSpec(env, {"numbers": [3, 4]})
    assert [number(spec.make()), number(spec.make())] == [4, 4]
    assert spec.env_config == {"numbers": [3, 4]}
    del gym.registry["Consuming-v0"]


def no_argument() -> Script:
    return Script(4)


def one_argument(given: dict[str, Any]) -> Script:
    return Script(given.get("number", -1))


def one_optional(number: int = 2) -> Script:
    return Script(number)


def one_optional_config(env_config: Any = None) -> Script:
    return Script(env_config["number"])


def keywords(number: int, *, plus: int = 0) -> Script:
    return Script(number + plus)


class Configured(Script):
    """As environments for RLlib have it: a configuration, and what they can do without."""

    def __init__(self, cfg: dict[str, Any], plus: int = 0, **more: Any):
        super().__init__(cfg["number"] + plus)


class MaybeConfigured(Script):
    def __init__(self, config: Any = None, number: int = 1):
        super().__init__(number if config is None else config["number"] + 10 * number)


class Settled(Script):
    def __init__(self, settings: dict[str, Any]):
        super().__init__(settings.get("number", -1))


class Alone(Script):
    def __init__(self, conf: Any = None):
        super().__init__(len(conf))


@pytest.mark.parametrize(
    ("env", "env_config", "expected"),
    [
        (Script, {}, 0),
        (Script, {"number": 5}, 5),
        (OnlyConfig, {"number": 6}, 6),
        (OnlySize, {}, 9),
        (OnlySize, {"size": 3}, 3),
        (OnlyNumber, {"number": 8}, 8),
        (no_argument, {}, 4),
        (one_argument, {}, -1),
        (one_argument, {"number": 7}, 7),
        (one_optional, {}, 2),
        (one_optional, {"number": 8}, 8),
        (one_optional_config, {"number": 3}, 3),
        (keywords, {"number": 3, "plus": 4}, 7),
        (functools.partial(Script, 5), {}, 5),
        (lambda: Script(6), {}, 6),
        (Configured, {"number": 3, "other": 5}, 3),
        (Configured, {"number": 3, "plus": 4}, 7),
        (MaybeConfigured, {}, 1),
        (MaybeConfigured, {"number": 4}, 4),
        (MaybeConfigured, {"number": 4, "other": 5}, 44),
        (Settled, {}, -1),
        (Settled, {"number": 3}, 3),
        (Alone, {}, 0),
        (lambda cfg, made=Script: made(cfg["number"]), {"number": 3}, 3),
    ],
)
def test_classes_and_callables(env: Any, env_config: dict[str, Any], expected: int) -> None:
    source = make_source(EnvSpec(env, env_config), 2)
    np.testing.assert_array_equal(source.reset()[0]["where"][:, 0], [expected] * 2)


def test_a_configuration_that_environments_empty_is_whole_for_the_next_one() -> None:
    env_config = {"number": 6}
    spec = EnvSpec(OnlyConfig, env_config)
    assert [number(spec.make()) for _ in range(3)] == [6, 6, 6]
    assert env_config == {"number": 6}


def test_an_instance_is_copied_with_what_was_set_on_it() -> None:
    env = Script(number=3)
    env.ends = ((2, "terminated"),)
    source = make_source(EnvSpec(env), 2)
    source.reset()
    for _ in range(2):
        step = source.step(np.zeros(2, np.int64))
    assert step.terminated.all()
    np.testing.assert_array_equal(step.final_obs["where"], [[3, 0, 2]] * 2)
    assert (env.episode, env.t) == (-1, 0), "the instance itself is not touched"


def test_an_instance_that_gym_make_made_keeps_what_was_set_on_it() -> None:
    given = gym.make("MountainCar-v0", max_episode_steps=3)
    given.unwrapped.force = 0.5  # type: ignore[attr-defined]
    env = EnvSpec(given).make()
    assert env is not given
    assert env.unwrapped.force == 0.5  # type: ignore[attr-defined]
    env.reset()
    assert [env.step(0)[3] for _ in range(3)] == [False, False, True]


def test_an_instance_in_a_wrapper_that_cannot_be_made_again() -> None:
    class Plain(gym.Wrapper[Any, Any, Any, Any]):
        pass

    env = EnvSpec(Plain(gym.make("CartPole-v1"))).make()
    assert isinstance(env, Plain)


class Uncopyable(Script):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("holds a device")


def test_an_instance_that_cannot_be_copied_is_made_again_from_its_spec(caplog: pytest.LogCaptureFixture) -> None:
    given = gym.make("CartPole-v1", sutton_barto_reward=True)
    given.unwrapped.lock = open(__file__)  # type: ignore[attr-defined] # noqa: SIM115
    with given.unwrapped.lock:  # type: ignore[attr-defined]
        env, _ = [EnvSpec(given).make(index) for index in range(2)]
    assert env.unwrapped is not given.unwrapped
    assert env.unwrapped._sutton_barto_reward is True  # type: ignore[attr-defined]
    (told,) = caplog.messages
    assert re.search("cannot be copied.*CartPole-v1, without what was set on the instance", told)


class NoRecord(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps no record of how it was made."""

    def __init__(self, env: Any, file: Any) -> None:
        super().__init__(env)
        self.file = file


def test_an_instance_whose_wrapper_cannot_be_made_again() -> None:
    with open(__file__) as file:
        spec = EnvSpec(NoRecord(gym.make("CartPole-v1"), file))
        with pytest.raises(
            EnvironmentSetupError, match=r"NoRecord cannot be copied.*make it again: .*NoRecord.*wrappers=\[\.\.\.\]"
        ):
            spec.make()


def test_an_instance_that_can_neither_be_copied_nor_made_again() -> None:
    with pytest.raises(EnvironmentSetupError, match=r"Uncopyable cannot be copied \(holds a device\).*Give its class"):
        EnvSpec(Uncopyable()).make()


@pytest.mark.parametrize("given", [Script(), gym.make("CartPole-v1")])
def test_settings_beside_an_instance_are_refused(given: gym.Env[Any, Any]) -> None:
    kind = type(given).__name__
    with pytest.raises(EnvironmentSetupError, match=rf"an instance of {kind} was given.*Make it with 'number'"):
        EnvSpec(given, {"number": 1}).make()


# ------------------------------------------------------------------------- what is no Gymnasium environment


class Alien:
    """Has the looks of an environment, as those of the old gym package."""

    observation_space, action_space = Dice.observation_space, Dice.action_space


class NoSpaces(gym.Env[Any, Any]):
    pass


class WrongSpace(Dice):
    action_space = 4  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Alien, r"^Alien gave Alien, not a gymnasium\.Env\. A gymnasium\.Env has"),
        (lambda: None, r"gave NoneType, not a gymnasium\.Env"),
        (NoSpaces, r"^NoSpaces gave an environment whose observation_space is None, not a gymnasium\.Space"),
        (WrongSpace, r"^WrongSpace gave an environment whose action_space is 4, not a gymnasium\.Space"),
    ],
)
def test_what_is_no_environment_is_refused(env: Any, message: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=message):
        make_source(EnvSpec(env), 1)


@pytest.mark.parametrize("wrapper", ["gymnasium.wrappers:TimeLimit", gym.wrappers.TimeLimit])
def test_a_wrapper_that_needs_arguments_is_named(wrapper: Any) -> None:
    message = r"wrapper TimeLimit .*missing a required argument: 'max_episode_steps'\)\. Put .* a function of a module"
    with pytest.raises(EnvironmentSetupError, match=message):
        EnvSpec(Script, wrappers=[wrapper]).make()


def test_a_wrapper_that_forgets_to_return_is_named(module: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=r"^the wrapper forgets gave NoneType, not a gymnasium\.Env"):
        EnvSpec(Script, wrappers=[f"{module}:forgets"]).make()


def test_an_environments_own_error_comes_through() -> None:
    class Broken(Script):
        def __init__(self) -> None:
            raise KeyError("map.txt")

    with pytest.raises(KeyError, match=r"map\.txt"):
        make_source(EnvSpec(Broken), 2)


# -------------------------------------------------------------------------------------- names and records


def lacks(*_: Any, **__: Any) -> Any:
    raise gym.error.DependencyNotInstalled("MoviePy is not installed, run `pip install moviepy`")


@pytest.mark.parametrize("spec", [EnvSpec(lacks), EnvSpec("CartPole-v1", wrappers=[lacks])])
def test_what_is_not_installed_is_one_sentence(spec: EnvSpec) -> None:
    with pytest.raises(EnvironmentSetupError, match=r"^(lacks|CartPole-v1) cannot be made: MoviePy is .* moviepy`\.$"):
        spec.make()


def test_what_gymnasiums_own_ids_lack_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    # Gymnasium 1.1 says that MuJoCo is not installed, later ones where these environments have gone.
    with pytest.raises(EnvironmentSetupError, match=r"^Ant-v3 cannot be made: .*(gymnasium-rob|gymnasium\[mujoco\])"):
        EnvSpec("Ant-v3").make()
    monkeypatch.setattr(gym, "make_vec", lacks)
    with pytest.raises(EnvironmentSetupError, match=r"^CartPole-v1 cannot be made: MoviePy"):
        make_source(EnvSpec("CartPole-v1"), 2)

    def nowhere(*_: Any, **__: Any) -> Any:
        importlib.import_module("anyspace_nowhere")

    monkeypatch.setattr(gym, "make", nowhere)
    with pytest.raises(EnvironmentSetupError, match=r"No module named 'anyspace_nowhere'\. Install that package\.$"):
        EnvSpec("CartPole-v1").make()


def test_an_import_that_fails_in_an_environments_own_code_comes_through() -> None:
    def nowhere(*_: Any) -> Any:
        importlib.import_module("anyspace_nowhere")

    gym.register("ImportsNowhere-v0", nowhere)
    try:
        for spec in (EnvSpec(nowhere), EnvSpec("ImportsNowhere-v0"), EnvSpec("CartPole-v1", wrappers=[nowhere])):
            with pytest.raises(ModuleNotFoundError, match="anyspace_nowhere"):
                spec.make()
    finally:
        del gym.registry["ImportsNowhere-v0"]


def test_an_id_without_version_is_the_latest_one() -> None:
    """Which Gymnasium would make; a run and its preset are called by it."""
    assert EnvSpec("CartPole").env == EnvSpec("CartPole").name == "CartPole-v1"
    assert EnvSpec("CartPole-v0").env == "CartPole-v0"
    assert EnvSpec("Nobodys").env == "Nobodys"


def test_names() -> None:
    vector = SyncVectorEnv([Script], autoreset_mode=AutoresetMode.SAME_STEP)
    spelt = [
        EnvSpec(env).name for env in ("CartPole-v1", Script, no_argument, Script(), gym.make("CartPole-v1"), vector)
    ]
    assert spelt == ["CartPole-v1", "Script", "no_argument", "Script", "CartPole-v1", "SyncVectorEnv"]


def test_what_a_checkpoint_can_make_the_environment_from() -> None:
    assert EnvSpec("CartPole-v1").describe() == "CartPole-v1"
    assert EnvSpec(Script).describe() == "tests.support.environments:Script"
    assert EnvSpec(lambda: Script()).describe() is None
    assert EnvSpec(Script()).describe() is None
    assert EnvSpec(gym.make("CartPole-v1", render_mode="rgb_array")).describe() == "CartPole-v1"
    assert EnvSpec(gym.make_vec("CartPole-v1", num_envs=2)).describe() == "CartPole-v1"
    assert EnvSpec(gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")).describe() == "CartPole-v1"


@pytest.mark.parametrize(
    "env",
    [
        gym.make("CartPole-v1", sutton_barto_reward=True),
        gym.make("CartPole-v1", max_episode_steps=9),
        gym.wrappers.TimeLimit(gym.make("CartPole-v1"), 9),
        gym.wrappers.vector.RecordEpisodeStatistics(gym.make_vec("CartPole-v1", num_envs=2)),
        gym.make_vec("CartPole-v1", num_envs=2, sutton_barto_reward=True),
    ],
    ids=["keyword", "time limit", "wrapper", "vector wrapper", "vector keyword"],
)
def test_an_instance_with_more_settings_than_its_id_is_not_recorded_by_it(env: Any) -> None:
    """An id alone would make another environment, and nobody would notice."""
    assert EnvSpec(env).describe() is None


@pytest.mark.parametrize(
    ("name", "package", "said"),
    [
        ("MiniGrid-Nowhere-v0", "minigrid", "of MiniGrid, but minigrid cannot be imported"),
        ("BabyAI-Nowhere-v0", "minigrid", "of MiniGrid, but minigrid cannot be imported"),
        ("popgym-Nowhere-v0", "popgym", "of POPGym, but popgym cannot be imported"),
    ],
)
def test_ids_of_packages_that_are_not_installed_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EnvironmentSetupError, match=said):
        EnvSpec(name).make()


def test_ids_of_known_packages_are_registered_by_importing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent / "packages")
    monkeypatch.delitem(sys.modules, "minigrid", raising=False)
    try:
        assert EnvSpec("MiniGrid-OfTheTests-v0").make().spec.id == "MiniGrid-OfTheTests-v0"
    finally:
        gym.registry.pop("MiniGrid-OfTheTests-v0", None)
        sys.modules.pop("minigrid", None)
