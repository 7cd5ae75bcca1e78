"""What is no environment of Gymnasium's, and settings that nothing takes."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv

from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.errors import EnvironmentSetupError
from tests.support.environments import Samples, Script


def of(package: str, name: str = "Old", bases: tuple[type, ...] = (), **attributes: Any) -> type:
    """Return a class as if it were of another package."""
    return type(name, bases, {"__module__": f"{package}.core", **attributes})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (of("gym"), "It is of the old package gym. Import gymnasium instead"),
        (
            of("gym"),
            r"GymV26CompatibilityV0\(env=env\) makes .* or GymV21CompatibilityV0\(env=env\) where step",
        ),
        (of("mine", "Pole", (of("gym", "Env"),)), "It is of the old package gym"),
        (of("pettingzoo", "ParallelEnv"), "have several agents.*supersuit.pettingzoo_env_to_vec_env_v1"),
        (
            of("stable_baselines3", "DummyVecEnv"),
            "such as an id, and set `num_envs_per_env_runner`; vectorization='async'",
        ),
        (
            of("stable_baselines3", "VecNormalize"),
            "num_envs_per_env_runner.*observation_filter='MeanStdFilter', normalize",
        ),
        (of("stable_baselines3", "VecFrameStack"), "num_envs_per_env_runner.*anyspace.data.atari.FrameStack"),
        (of("dm_control", "Environment"), "shimmy"),
        (of("mine", "Battle", (of("ray", "MultiAgentEnv", (gym.Env,)),)), "Several agents in one environment"),
        (of("mine", "Nothing"), r"A gymnasium.Env has reset\(\) -> \(obs, info\)"),
    ],
)
def test_foreign_environments_as_classes_and_as_instances(kind: type, message: str) -> None:
    with pytest.raises(
        EnvironmentSetupError, match=rf"^{kind.__name__} gave {kind.__name__}, not a gymnasium\.Env.*{message}"
    ):
        EnvSpec(kind).make()
    with pytest.raises(EnvironmentSetupError, match=rf"^.* {kind.__name__}, not a gymnasium\.Env.*{message}"):
        EnvSpec(kind()).make()


@pytest.mark.parametrize("several", [[Script], (Script,), [Script()]])
def test_several_environments_are_a_number(several: Any) -> None:
    with pytest.raises(
        EnvironmentSetupError, match=r"not a gymnasium\.Env\. Several environments are made of what makes"
    ):
        EnvSpec(several).make()


def test_a_function_that_makes_a_vector_environment() -> None:
    with pytest.raises(EnvironmentSetupError, match=r"gave SyncVectorEnv, a vector environment.*itself"):
        EnvSpec(lambda: SyncVectorEnv([Script])).make()


def test_spaces_of_the_old_package() -> None:
    class Mixed(Samples):
        def __init__(self) -> None:
            super().__init__(of("gym", "Box")(), Discrete(2))  # type: ignore[arg-type]

    with pytest.raises(EnvironmentSetupError, match=r"observation_space is .*old package gym: take gymnasium\.spaces"):
        EnvSpec(Mixed).make()


class Sized(Samples):
    def __init__(self, size: int, *, colour: str = "red"):
        super().__init__(Box(-1, 1, (size,)), Discrete(2))


@pytest.mark.parametrize(
    ("env", "config", "message"),
    [
        (Sized, {"sizes": 3}, "`env_config` holds 'sizes', but Sized takes `size`, `colour`. Did you mean 'size'"),
        (Sized, {}, "`env_config` lacks 'size', which Sized needs: Sized takes `size`, `colour`"),
        (lambda: Sized(2), {"size": 3}, "`env_config` holds 'size', but <lambda> takes no argument"),
        (
            "Pendulum-v1",
            {"rendermode": None},
            "holds 'rendermode', but PendulumEnv takes `render_mode`, `g`. Did you mean 'render_mode'",
        ),
        ("CartPole-v1", {"sutton_barto": True}, "but CartPoleEnv takes .*Did you mean 'sutton_barto_reward'"),
    ],
)
def test_settings_that_do_not_fit(env: Any, config: dict[str, Any], message: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=message):
        make_source(EnvSpec(env, config), 1)


def test_settings_of_gymnasium_and_open_signatures_are_left_alone() -> None:
    def anything(**given: Any) -> Any:
        return Sized(**given)

    with pytest.raises(TypeError, match="sise"):
        EnvSpec(anything, {"sise": 3}).make()
    assert EnvSpec("Pendulum-v1", {"g": 3.0, "max_episode_steps": 7}).make().spec.max_episode_steps == 7  # type: ignore[union-attr]


def test_an_error_of_the_constructor_is_its_own() -> None:
    class Wrong(Samples):
        def __init__(self, size: int = 1):
            raise TypeError("unsupported operand")

    with pytest.raises(TypeError, match="unsupported operand"):
        EnvSpec(Wrong, {"size": 3}).make()


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_spaces_that_differ_between_instances(vectorization: Any, tmp_path: Any) -> None:
    made = tmp_path / "made"
    closed: list[Any] = []

    class Grows(Samples):
        def close(self) -> None:
            closed.append(self)

        def __init__(self) -> None:
            with made.open("a") as file:
                file.write("x")
            super().__init__(Box(-1, 1, (1 + made.stat().st_size // 3,)), Discrete(2))

    message = r"environment \d: the observation space of Grows is Box\(.*, but that of the first one made is Box\("
    with pytest.raises(EnvironmentSetupError, match=message):
        make_source(EnvSpec(Grows), 6, vectorization)
    if vectorization == "sync":
        assert len(closed) == len(made.read_text()), "all that were made are closed"
